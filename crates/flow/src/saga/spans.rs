//! Sagas as spans: a saga is one span, and every attempt at a step one below it, by which the mesh continues the trace.
//!
//! Nothing is recorded for it: spans are made of what is in the log, and their ids follow from the saga's. So a saga has the
//! same trace before and after a crash, at whichever server.

use super::journal::{self, Entry, NOBODY, unread};
use super::names::{child_key, event_type, id_of, ids_of, span, trace_tag};
use super::{Shared, told};
use crate::events::feed::Feed;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use tenon_api::http::SagaEvent;
use tenon_api::otlp::{
    Attribute, CLIENT, Event as SpanEvent, INTERNAL, Resource, ResourceSpans, Scope, ScopeSpans, Span,
    Status, TracesData,
};
use tenon_api::saga::{Beginning, ENDED, Progress, STARTED};
use tenon_core::saga::{Direction, End, Event, Goal, Instance, Outcome, Saga, Token, Work};
use tenon_core::{Code, Namespace, Position, Refusal, SagaId, Timestamp};
use tenon_store::{Direction as Reading, Event as StoredEvent, Query, QueryItem};

/// The most sagas that are looked for in one trace, those that are steps included.
const MOST: usize = 200;
/// How deep sagas are looked for that are steps of others.
const DEEPEST: u32 = 8;

/// Who records the spans of sagas.
const RECORDER: &str = "saga.tenon";

/// A saga's spans, and what they are about.
pub(crate) struct OfSaga {
    id: SagaId,
    /// The saga's.
    pub(crate) namespace: Namespace,
    /// Its spans.
    pub(crate) spans: Vec<Span>,
    /// Whether its trace is kept, whatever became of it.
    pub(super) kept: bool,
}

impl OfSaga {
    /// Whether anything went wrong on the way.
    pub(super) fn has_failed(&self) -> bool {
        self.spans.iter().any(|span| span.status != Status::default())
    }
}

/// The spans of the sagas that a trace is about.
pub(super) async fn of_trace(shared: &Shared, trace: u128) -> Result<Vec<OfSaga>, Refusal> {
    let mut found = Vec::new();
    let own = SagaId::from_bytes(trace.to_be_bytes());
    let mut ids = vec![own];
    let item = QueryItem {
        types: [event_type(STARTED)].into(),
        tags: [trace_tag(trace)].into(),
        ..QueryItem::default()
    };
    let query = Query::reserved().within(Namespace::default()).or(item);
    let page =
        shared.store.log().read(query, Position::START, Reading::Forward, MOST).await.map_err(unread)?;
    ids.extend(page.events.iter().filter_map(|event| id_of(&event.stream)));
    for id in ids {
        add(shared, id, None, DEEPEST, &mut found).await?;
    }
    Ok(found)
}

/// The spans of one saga, and of those that are steps of it.
pub(super) async fn of_saga(shared: &Shared, id: SagaId) -> Result<Vec<OfSaga>, Refusal> {
    let mut found = Vec::new();
    add(shared, id, None, 0, &mut found).await?;
    Ok(found)
}

async fn add(
    shared: &Shared,
    id: SagaId,
    parent: Option<u64>,
    depth: u32,
    found: &mut Vec<OfSaga>,
) -> Result<(), Refusal> {
    if found.len() >= MOST || found.iter().any(|it| it.id == id) {
        return Ok(());
    }
    let (Some(beginning), entries) = journal::history(shared.store.log(), id).await? else { return Ok(()) };
    let Some(instance) = Instance::fold(entries.iter().map(|entry| &entry.event)) else { return Ok(()) };
    let known = match shared.definitions.version(instance.version()).await {
        Ok(known) => known,
        Err(refusal) if refusal.code == Code::DataNewerVersion => return Ok(()),
        Err(refusal) => return Err(refusal),
    };
    let told = Telling { id, beginning: &beginning, saga: &known.saga, now: shared.now() };
    let (spans, steps) = told.spans(parent, &entries);
    let kept = shared.is_kept(&beginning);
    found.push(OfSaga { id, namespace: beginning.namespace.clone(), spans, kept });
    if depth == 0 {
        return Ok(());
    }
    for (key, (name, span)) in steps {
        for child in ids_of(&beginning.namespace, &name, &key) {
            Box::pin(add(shared, child, Some(span), depth - 1, found)).await?;
        }
    }
    Ok(())
}

/// The sagas that end at this server, from some time on.
pub struct Endings {
    feed: Feed,
    shared: Arc<Shared>,
}

impl Endings {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let item = QueryItem { types: [event_type(ENDED)].into(), ..QueryItem::default() };
        let query = Query::reserved().within(Namespace::default()).or(item);
        Self { feed: Feed::new(shared.store.clone(), query, None, None), shared: Arc::clone(shared) }
    }

    /// The next ones; none if the log cannot be read any more.
    pub async fn next(&mut self) -> Option<Vec<SagaId>> {
        let page = self.feed.next().await?.ok()?;
        let own = |event: &StoredEvent| {
            let (by, id) = (Progress::decode(&event.data).ok()?.server, id_of(&event.stream)?);
            // Of one that another server has ended by a word, its owner tells.
            let is_own =
                by == self.shared.server || by == NOBODY && self.shared.shards.owned_soon(id).is_some();
            is_own.then_some(id)
        };
        Some(page.events.iter().filter_map(own).collect())
    }
}

impl fmt::Debug for Endings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endings").finish_non_exhaustive()
    }
}

/// Spans as those of one recorder.
pub(crate) fn recorded(spans: Vec<Span>) -> TracesData {
    if spans.is_empty() {
        return TracesData::default();
    }
    let attributes =
        vec![Attribute::new("service.name", RECORDER), Attribute::new("tenon.component", "saga")];
    let scope = Scope { name: "tenon".into(), version: env!("CARGO_PKG_VERSION").into() };
    let scope_spans = vec![ScopeSpans { scope, spans }];
    TracesData { resource_spans: vec![ResourceSpans { resource: Resource { attributes }, scope_spans }] }
}

/// A saga that is told as spans.
pub(super) struct Telling<'a> {
    pub(super) id: SagaId,
    pub(super) beginning: &'a Beginning,
    pub(super) saga: &'a Saga,
    pub(super) now: Timestamp,
}

/// An attempt under way.
struct Open {
    since: Timestamp,
    round: u32,
}

/// The spans by the keys of sagas that are steps, with what they are.
type Children = BTreeMap<String, (tenon_core::saga::SagaName, u64)>;

impl Telling<'_> {
    /// The saga's span, below the one that is given, and those of all attempts.
    pub(super) fn spans(&self, parent: Option<u64>, entries: &[Entry]) -> (Vec<Span>, Children) {
        let mut entries = entries.iter();
        let begun = entries.next().and_then(|first| Some((first, Instance::of(&first.event)?)));
        let Some((first, mut at)) = begun else { return Default::default() };
        let (mut open, mut attempts): (BTreeMap<Token, Open>, Vec<Span>) = Default::default();
        let (mut children, mut events, mut last) = (Children::new(), Vec::new(), first.time);
        for entry in entries {
            at.apply(&entry.event);
            last = entry.time;
            match &entry.event {
                Event::Began { token, .. } | Event::Repeated { token, .. } | Event::Waited { token, .. } => {
                    // The one before was interrupted, by a crash or a change of servers.
                    for before in taken(&mut open, |it| it.step == token.step) {
                        attempts.push(self.attempt(before, entry.time, "interrupted", true));
                    }
                    let round = at.round(*token);
                    open.insert(*token, Open { since: entry.time, round });
                    children.extend(self.child(*token, round));
                }
                other => match outcome(other) {
                    Some((token, outcome, failed)) => {
                        for settled in taken(&mut open, |it| *it == token) {
                            attempts.push(self.attempt(settled, entry.time, outcome, failed));
                        }
                    }
                    None => events.push(noted(self.saga, entry)),
                },
            }
        }
        let ends = if at.ended().is_some() { last } else { self.now.max(last) };
        for left in taken(&mut open, |_| true) {
            let outcome = if at.ended().is_some() { "no longer wanted" } else { "under way" };
            attempts.push(self.attempt(left, ends, outcome, false));
        }
        let root = self.root(parent, &at, first.time, ends, events);
        attempts.insert(0, root);
        (attempts, children)
    }

    fn root(
        &self,
        parent: Option<u64>,
        at: &Instance,
        began: Timestamp,
        ends: Timestamp,
        events: Vec<SpanEvent>,
    ) -> Span {
        let beginning = self.beginning;
        let mut attributes = vec![
            Attribute::new("tenon.saga.id", self.id.to_string()),
            Attribute::new("tenon.saga.name", beginning.name.as_str()),
            Attribute::new("tenon.saga.namespace", beginning.namespace.as_str()),
            Attribute::new("tenon.saga.version", at.version().to_string()),
            Attribute::new("tenon.saga.outcome", tenon_api::http::SagaState::from(at.status()).to_string()),
        ];
        attributes.extend(beginning.key.as_ref().map(|key| Attribute::new("tenon.saga.key", key)));
        let status = match (at.ended(), at.goal()) {
            (Some(End::Compensated | End::Failed), Goal::Back(why)) => failed(told::cause(self.saga, why)),
            _ => Status::default(),
        };
        Span {
            trace_id: self.trace(),
            span_id: hex(span(self.id, "saga")),
            parent_span_id: parent.map(hex).unwrap_or_default(),
            name: format!("saga {}", beginning.name),
            kind: INTERNAL,
            start_time_unix_nano: nanos(began),
            end_time_unix_nano: nanos(ends),
            attributes,
            events,
            status,
        }
    }

    fn attempt(&self, (token, open): (Token, Open), ends: Timestamp, outcome: &str, bad: bool) -> Span {
        let step = self.saga.get(token.step);
        let name = step.map_or("", |step| step.name.as_str());
        let is_call = step.is_some_and(|step| matches!(step.work, Work::Call { .. }));
        Span {
            trace_id: self.trace(),
            span_id: hex(self.span_of(token, open.round)),
            parent_span_id: hex(span(self.id, "saga")),
            name: format!("{} {name}", token.direction),
            kind: if is_call { CLIENT } else { INTERNAL },
            start_time_unix_nano: nanos(open.since),
            end_time_unix_nano: nanos(ends),
            attributes: vec![
                Attribute::new("tenon.saga.id", self.id.to_string()),
                Attribute::new("tenon.saga.step", name),
                Attribute::new("tenon.saga.direction", token.direction.to_string()),
                Attribute::number("tenon.saga.attempt", token.attempt.into()),
                Attribute::new("tenon.saga.outcome", outcome),
            ],
            events: Vec::new(),
            status: if bad { failed(outcome.to_owned()) } else { Status::default() },
        }
    }

    /// What `traceparent` names to whom the attempt calls.
    fn span_of(&self, token: Token, round: u32) -> u64 {
        let step = self.saga.get(token.step).map_or("", |step| step.name.as_str());
        let key = super::names::call_key(self.id, step, token.direction, round);
        super::names::call_span(self.id, &key, token.attempt)
    }

    fn child(&self, token: Token, round: u32) -> Option<(String, (tenon_core::saga::SagaName, u64))> {
        let Work::Child(name) = &self.saga.get(token.step)?.work else { return None };
        let is_do = token.direction == Direction::Do;
        is_do.then(|| {
            let key = child_key(self.id, token.step.0, round);
            (key, (name.clone(), self.span_of(token, round)))
        })
    }

    fn trace(&self) -> String {
        format!("{:032x}", self.beginning.trace)
    }
}

/// Takes those out that fit.
fn taken(open: &mut BTreeMap<Token, Open>, is: impl Fn(&Token) -> bool) -> Vec<(Token, Open)> {
    open.extract_if(.., |token, _| is(token)).collect()
}

/// What came of which attempt, and whether that is bad.
fn outcome(event: &Event) -> Option<(Token, &'static str, bool)> {
    let of = |token: &Token, outcome: Outcome| Some((*token, told::failed(outcome), true));
    match event {
        Event::Succeeded { token, .. } => Some((*token, "done", false)),
        Event::Deferred { token, outcome, .. }
        | Event::GaveUp { token, outcome, .. }
        | Event::Parked { token, outcome, .. }
        | Event::LeftBehind { token, outcome } => of(token, *outcome),
        _ => None,
    }
}

/// What happened to the saga as a whole.
fn noted(saga: &Saga, entry: &Entry) -> SpanEvent {
    let SagaEvent { time, event, step, actor, detail, .. } = told::event(saga, entry.clone());
    let some = |key: &str, text: Option<String>| text.map(|text| Attribute::new(key, text));
    let attributes = [
        some("tenon.saga.step", step),
        some("tenon.actor", actor.map(|actor| actor.to_string())),
        some("tenon.detail", detail),
    ];
    SpanEvent {
        time_unix_nano: nanos(time),
        name: event,
        attributes: attributes.into_iter().flatten().collect(),
    }
}

fn failed(message: String) -> Status {
    Status { code: 2, message }
}

fn hex(span: u64) -> String {
    format!("{span:016x}")
}

fn nanos(at: Timestamp) -> u64 {
    at.as_micros().saturating_mul(1_000)
}

#[cfg(test)]
mod tests;
