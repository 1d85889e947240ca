//! Watches: streams of changes that miss none.
//!
//! A watch remembers the position that it has told up to and asks the writer's history for what came after, when
//! the client has room for more. Nothing is queued for it, so a slow client costs nothing and delays nobody. A
//! client that comes back says by `Last-Event-ID` what it has seen. When the history has forgotten what came after
//! that, a watch of instances begins with the whole state again, and a watch of configuration takes what is missing
//! from the log, which keeps all of it.

use super::config::told;
use super::reply::{Asked, Failure, Reply};
use super::services::instance;
use super::{App, config, services};
use crate::writer::{Recorded, View};
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use serde::Serialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use tenon_api::http::{InstanceChange, KEEP_ALIVE, PROBLEM_EVENT};
use tenon_core::platform::Event as Fact;
use tenon_core::registry;
use tenon_core::{Code, Position, Refusal, Revision, ServiceRef};
use tokio::sync::{OwnedSemaphorePermit, watch};

/// Changes that are taken from the history at once.
const BATCH: usize = 128;

/// Changes that are taken from the log at once, when the history has forgotten them.
const LOG_BATCH: usize = 1_000;

pub(super) async fn instances(State(app): State<Arc<App>>, asked: Asked) -> Reply {
    let service = asked.service()?;
    let after = asked.last_event_id()?;
    app.writer.read(|view| services::known(&view.state, &service))?;
    open(&app, Watched::Instances, service, after)
}

/// Changes to a service's configuration: those after `after`, or those from now on.
pub(super) fn config(app: &Arc<App>, service: ServiceRef, after: Option<Revision>) -> Reply {
    let present =
        app.writer.read(|view| config::known(&view.state, &service).map(|()| view.state.revision))?;
    if let Some(unknown) = after.filter(|it| it.log != present.log || it.position > present.position) {
        let detail =
            format!("there is no revision {unknown}; read the configuration and watch from its revision on");
        return Err(Refusal::new(Code::ConfigUnknownRevision, detail).into());
    }
    open(app, Watched::Config, service, Some(after.unwrap_or(present)))
}

/// A stream of server-sent events.
pub(super) fn events<S>(stream: S) -> Reply
where
    S: futures_util::Stream<Item = Event> + Send + 'static,
{
    let events = futures_util::StreamExt::map(stream, Ok::<_, Infallible>);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// The last event of a stream that ends because of an error.
pub(super) fn problem(refusal: Refusal) -> Event {
    event(Event::default().event(PROBLEM_EVENT), Failure::from(refusal).problem())
}

/// The event with a document as its data.
pub(super) fn event(event: Event, document: &impl Serialize) -> Event {
    // The documents are texts, numbers and lists of them, which always serialise.
    event.json_data(document).unwrap_or_default()
}

fn open(app: &Arc<App>, watched: Watched, service: ServiceRef, after: Option<Revision>) -> Reply {
    let permit = app.stream_permit()?;
    let watch = Watch::new(Arc::clone(app), permit, watched, service, after);
    events(stream::unfold(watch, |mut watch| async {
        let event = watch.next().await?;
        Some((event, watch))
    }))
}

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watched {
    Instances,
    Config,
}

/// One client's watch.
struct Watch {
    app: Arc<App>,
    _permit: OwnedSemaphorePermit,
    watched: Watched,
    service: ServiceRef,
    folded: watch::Receiver<Position>,
    /// Up to where everything has been told; `None` if nothing has.
    told: Option<Position>,
    ready: VecDeque<Event>,
    ended: bool,
}

/// What the history has for a watch.
enum Found {
    Events,
    Nothing,
    Forgotten,
}

impl Watch {
    fn new(
        app: Arc<App>,
        permit: OwnedSemaphorePermit,
        watched: Watched,
        service: ServiceRef,
        after: Option<Revision>,
    ) -> Self {
        let present = app.writer.read(|view| view.state.revision);
        let known = after.filter(|it| it.log == present.log && it.position <= present.position);
        let folded = app.writer.folded();
        let (told, ready) = (known.map(|it| it.position), VecDeque::new());
        Self { app, _permit: permit, watched, service, folded, told, ready, ended: false }
    }

    /// The next event, as soon as there is one; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            self.folded.borrow_and_update();
            let app = Arc::clone(&self.app);
            match app.writer.read(|view| self.gather(view)) {
                Found::Events => {}
                Found::Nothing => app.stop.run_until_cancelled(self.folded.changed()).await?.ok()?,
                Found::Forgotten => self.begin_anew().await,
            }
        }
    }

    /// Takes what came after what has been told.
    fn gather(&mut self, view: &View) -> Found {
        let Some(later) = self.told.and_then(|told| view.history.after(told)) else {
            return Found::Forgotten;
        };
        for recorded in later {
            if self.ready.len() >= BATCH {
                return Found::Events;
            }
            self.told = Some(recorded.stamp.position);
            self.take(view, recorded);
        }
        if self.ready.is_empty() { Found::Nothing } else { Found::Events }
    }

    fn take(&mut self, view: &View, recorded: &Recorded) {
        match self.watched {
            Watched::Instances => {
                let change = instance_change(&self.app, view, &self.service, recorded);
                self.ready.extend(change.map(|it| identified(it.revision(), &it)));
            }
            Watched::Config => {
                let log = view.state.revision.log;
                let changes = recorded.changes.config.iter().filter(|it| it.service == self.service);
                self.ready.extend(changes.map(|it| told(log, it)).map(|it| identified(it.revision, &it)));
            }
        }
    }

    async fn begin_anew(&mut self) {
        match self.watched {
            Watched::Instances => self.tell_state(),
            Watched::Config => self.tell_from_log().await,
        }
    }

    fn tell_state(&mut self) {
        let app = Arc::clone(&self.app);
        let state = app.writer.read(|view| {
            let found = view.state.registry.instances(&self.service);
            let instances = found.map(|it| instance(view, &app.heartbeats, it)).collect();
            InstanceChange::State { revision: view.state.revision, instances }
        });
        self.told = Some(state.revision().position);
        self.ready.push_back(identified(state.revision(), &state));
    }

    /// Takes the changes that the history has forgotten from the log, the oldest first. What is beyond one batch
    /// is taken the next time.
    async fn tell_from_log(&mut self) {
        let told_up_to = self.told.unwrap_or_default();
        let present = self.app.writer.read(|view| view.state.revision);
        let is_new = |it: &crate::past::Record| {
            it.change.position > told_up_to && it.change.position <= present.position
        };
        match self.app.past.first_records(&self.service, LOG_BATCH, is_new).await {
            Ok(records) => {
                let all = records.len() < LOG_BATCH;
                let last = records.last().map(|it| it.change.position);
                self.told = if all { Some(present.position) } else { last };
                let changes = records.iter().map(|it| told(present.log, &it.change));
                self.ready.extend(changes.map(|it| identified(it.revision, &it)));
            }
            Err(refusal) => {
                self.ready.push_back(problem(refusal));
                self.ended = true;
            }
        }
    }
}

/// An event that a client can come back after.
fn identified(revision: Revision, document: &impl Serialize) -> Event {
    event(Event::default().id(revision.to_string()), document)
}

/// What a watcher of the service's instances is told of an event, if anything.
fn instance_change(
    app: &App,
    view: &View,
    service: &ServiceRef,
    recorded: &Recorded,
) -> Option<InstanceChange> {
    let Fact::Registry(fact) = &recorded.event else { return None };
    let revision = Revision { position: recorded.stamp.position, ..view.state.revision };
    let full = || {
        let found = recorded.instance.as_ref()?;
        Some(Box::new(instance(view, &app.heartbeats, found)))
    };
    let (of, change) = match fact {
        registry::Event::InstanceRegistered(it) => {
            (&it.service, InstanceChange::Registered { revision, instance: full()? })
        }
        registry::Event::InstanceUpdated { service, .. } => {
            (service, InstanceChange::Updated { revision, instance: full()? })
        }
        registry::Event::InstanceHealthChanged { service, instance, from, to, evidence } => {
            let (id, from, to, evidence) = (instance.clone(), (*from).into(), (*to).into(), evidence.into());
            (service, InstanceChange::HealthChanged { revision, id, from, to, evidence })
        }
        registry::Event::InstanceDraining { service, instance } => {
            (service, InstanceChange::Draining { revision, id: instance.clone() })
        }
        registry::Event::InstanceDeregistered { service, instance, reason } => {
            let (id, reason) = (instance.clone(), (*reason).into());
            (service, InstanceChange::Deregistered { revision, id, reason })
        }
    };
    (of == service).then_some(change)
}
