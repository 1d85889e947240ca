//! Runs the health machine of every registered instance.
//!
//! One task: it follows the registry, asks what is due (at most [`MOST_PROBES`] questions at once; what is due
//! beyond that waits), feeds answers and heartbeats to `core::health`, and has each change of belief recorded
//! with its evidence. What could not be recorded is tried again; until then the registry says what it said.
//!
//! Life cycle: after a start, or when this server takes the duty from another one, every instance is taken as the log has
//! it, all its time-outs counted from then. While another server has the duty nothing is asked, and heartbeats are
//! refused with who takes them.
//! That a process ended is not learnt here: recording its end deregisters the instance in the same append.
//!
//! Left out on purpose: what answers mean (`core::health`), how to ask (`probe`).

mod watched;

use crate::clock::Clock;
use crate::duties::OnDuty;
use crate::probe::{Answer, probe};
use crate::writer::{Handle, View, server_actor};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tenon_core::duty::{self, Duty};
use tenon_core::health::{Config, Evidence, Input, Transition};
use tenon_core::platform::{State, health_config};
use tenon_core::registry::Instance;
use tenon_core::{Code, InstanceId, Position, Refusal, ServiceRef, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use watched::{Verdict, Watched};

/// Questions under way at once.
const MOST_PROBES: usize = 256;

/// Heartbeats that wait to be taken; further callers wait.
const MOST_HEARTBEATS: usize = 256;

/// How long to wait before what could not be recorded, or was not heeded, is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Hands in heartbeats.
#[derive(Debug, Clone)]
pub(crate) struct Heartbeats {
    sender: mpsc::Sender<Heartbeat>,
    last: LastHeartbeats,
}

/// When each instance's last heartbeat came.
type LastHeartbeats = Arc<Mutex<BTreeMap<InstanceId, Timestamp>>>;

#[derive(Debug)]
struct Heartbeat {
    service: ServiceRef,
    instance: InstanceId,
    answer: oneshot::Sender<Result<(), Refusal>>,
}

/// Starts the task, which ends with `stop`.
pub(crate) fn start(
    writer: Handle,
    clock: Clock,
    on_duty: OnDuty,
    stop: CancellationToken,
) -> (Heartbeats, tokio::task::JoinHandle<()>) {
    let (sender, heartbeats) = mpsc::channel(MOST_HEARTBEATS);
    let last = LastHeartbeats::default();
    let handle = Heartbeats { sender, last: Arc::clone(&last) };
    let shift = Shift { writer, clock, on_duty, last };
    let task = tokio::spawn(async move {
        stop.run_until_cancelled(shift.run(heartbeats)).await;
    });
    (handle, task)
}

/// Has the work done while this server has the duty.
struct Shift {
    writer: Handle,
    clock: Clock,
    on_duty: OnDuty,
    last: LastHeartbeats,
}

impl Shift {
    async fn run(mut self, mut heartbeats: mpsc::Receiver<Heartbeat>) {
        loop {
            let epoch = tokio::select! {
                biased;
                epoch = self.on_duty.begins() => epoch,
                heartbeat = heartbeats.recv() => match heartbeat {
                    Some(heartbeat) => {
                        self.refuse(heartbeat);
                        continue;
                    }
                    None => return,
                },
            };
            lock(&self.last).clear();
            let writer = self.writer.under(Duty::Health, epoch);
            let checks = Checks::new(writer, self.clock.clone(), Arc::clone(&self.last));
            tokio::select! {
                () = checks.run(&mut heartbeats) => return,
                () = self.on_duty.ends(epoch) => {}
            }
        }
    }

    fn refuse(&self, heartbeat: Heartbeat) {
        let holder = self.writer.read(|view| view.state.duties.holder(Duty::Health));
        // Whoever asked may have gone.
        let _ = heartbeat.answer.send(Err(duty::off_duty(Duty::Health, holder)));
    }
}

impl Heartbeats {
    /// Takes a heartbeat. If it makes the instance healthy, that is recorded when this returns.
    ///
    /// # Errors
    /// `registry.unknown-service`, `registry.unknown-instance`, or `log.*` when it could not be recorded.
    pub(crate) async fn beat(&self, service: ServiceRef, instance: InstanceId) -> Result<(), Refusal> {
        let (answer, answered) = oneshot::channel();
        let stopping =
            || Refusal::new(Code::ServerUnavailable, "the server is stopping; send the heartbeat again");
        self.sender.send(Heartbeat { service, instance, answer }).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }

    /// When an instance's last heartbeat came, if this server has had one.
    pub(crate) fn last(&self, instance: &InstanceId) -> Option<Timestamp> {
        lock(&self.last).get(instance).copied()
    }
}

fn lock(last: &LastHeartbeats) -> MutexGuard<'_, BTreeMap<InstanceId, Timestamp>> {
    last.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Checks {
    writer: Handle,
    clock: Clock,
    /// Up to where the registry has been followed.
    seen: Position,
    watched: BTreeMap<InstanceId, Watched>,
    /// When something is to be done with an instance; each has at most one entry.
    due: BTreeSet<(Timestamp, InstanceId)>,
    probes: JoinSet<(InstanceId, u64, Answer)>,
    recordings: JoinSet<(InstanceId, u64, Result<(), Refusal>)>,
    /// Tells instances apart that had the same id one after the other.
    next_generation: u64,
    last_heartbeats: LastHeartbeats,
}

impl Checks {
    fn new(writer: Handle, clock: Clock, last_heartbeats: LastHeartbeats) -> Self {
        Self {
            writer,
            clock,
            seen: Position::START,
            watched: BTreeMap::new(),
            due: BTreeSet::new(),
            probes: JoinSet::new(),
            recordings: JoinSet::new(),
            next_generation: 0,
            last_heartbeats,
        }
    }

    async fn run(mut self, heartbeats: &mut mpsc::Receiver<Heartbeat>) {
        let mut folded = self.writer.folded();
        self.follow_all();
        loop {
            self.do_what_is_due();
            let wake = self.next_due();
            tokio::select! {
                moved = folded.changed() => match moved {
                    Ok(()) => self.follow(),
                    Err(_) => return,
                },
                Some(Ok((id, generation, answer))) = self.probes.join_next() => self.answered(&id, generation, &answer),
                Some(Ok((id, generation, result))) = self.recordings.join_next() => self.recorded(&id, generation, result),
                Some(heartbeat) = heartbeats.recv() => self.heartbeat(heartbeat),
                () = sleep_until(&self.clock, wake) => {}
            }
        }
    }

    /// Takes over what changed in the registry.
    fn follow(&mut self) {
        let writer = self.writer.clone();
        writer.read(|view| match view.history.changes_after(self.seen) {
            Some(changes) if !changes.routes => {
                self.seen = view.state.revision.position;
                for service in &changes.instances {
                    self.follow_service(view, service);
                }
            }
            // A manifest was applied, which may change how instances are checked; or too much happened.
            _ => self.follow_everything(view),
        });
    }

    fn follow_all(&mut self) {
        let writer = self.writer.clone();
        writer.read(|view| self.follow_everything(view));
    }

    fn follow_everything(&mut self, view: &View) {
        self.seen = view.state.revision.position;
        let watched = self.watched.values().map(|watched| watched.service.clone());
        let registered = view.state.registry.services().cloned();
        let services: BTreeSet<ServiceRef> = watched.chain(registered).collect();
        for service in &services {
            self.follow_service(view, service);
        }
    }

    fn follow_service(&mut self, view: &View, service: &ServiceRef) {
        let now = self.clock.now();
        let registry = &view.state.registry;
        let of_service = self.watched.iter().filter(|(_, watched)| watched.service == *service);
        let is_gone = |id: &InstanceId, watched: &Watched| !registry.get(id).is_some_and(|it| watched.is(it));
        let gone: Vec<InstanceId> =
            of_service.filter(|(id, watched)| is_gone(id, watched)).map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.forget(&id);
        }
        for instance in registry.instances(service) {
            match health_config(&view.state, instance) {
                Some(config) => self.follow_instance(instance, config, now),
                None => self.forget(instance.id()),
            }
        }
    }

    fn follow_instance(&mut self, instance: &Instance, config: Config, now: Timestamp) {
        match self.watched.get_mut(instance.id()) {
            Some(watched) => watched.config = config,
            None => {
                let watched = Watched::new(instance, config, self.next_generation, now);
                self.next_generation += 1;
                self.watched.insert(instance.id().clone(), watched);
            }
        }
        self.schedule(instance.id());
    }

    fn forget(&mut self, id: &InstanceId) {
        lock(&self.last_heartbeats).remove(id);
        if let Some(watched) = self.watched.remove(id)
            && let Some(at) = watched.scheduled
        {
            self.due.remove(&(at, id.clone()));
        }
    }

    /// Puts the instance's entry where it belongs.
    fn schedule(&mut self, id: &InstanceId) {
        let Some(watched) = self.watched.get_mut(id) else { return };
        let next = watched.next_at();
        if watched.scheduled == next {
            return;
        }
        if let Some(at) = std::mem::replace(&mut watched.scheduled, next) {
            self.due.remove(&(at, id.clone()));
        }
        if let Some(at) = next {
            self.due.insert((at, id.clone()));
        }
    }

    /// When to look again. While all probes are taken, the end of one wakes the task.
    fn next_due(&self) -> Option<Timestamp> {
        if self.probes.len() >= MOST_PROBES { None } else { self.due.first().map(|(at, _)| *at) }
    }

    fn do_what_is_due(&mut self) {
        let now = self.clock.now();
        while self.probes.len() < MOST_PROBES
            && let Some((at, id)) = self.due.first().cloned()
            && at <= now
        {
            self.due.pop_first();
            if let Some(watched) = self.watched.get_mut(&id) {
                watched.scheduled = None;
            }
            self.act(&id, now);
        }
    }

    fn act(&mut self, id: &InstanceId, now: Timestamp) {
        let Some(watched) = self.watched.get_mut(id) else { return };
        if watched.is_tick_due(now) {
            let evidence = watched.silence();
            watched.not_before = now.after(AGAIN);
            self.step(id, Input::Tick, evidence, None);
        }
        self.ask(id, now);
        self.record(id);
        self.schedule(id);
    }

    /// Sends the question, if it is time for it.
    fn ask(&mut self, id: &InstanceId, now: Timestamp) {
        let Some(watched) = self.watched.get_mut(id) else { return };
        if !watched.is_check_due(now) {
            return;
        }
        watched.asking = true;
        let (id, generation) = (id.clone(), watched.generation);
        let (config, address) = (watched.config.clone(), watched.address.clone());
        self.probes.spawn(async move {
            let answer = probe(&config.check, &address, config.timeout).await;
            (id, generation, answer)
        });
    }

    fn answered(&mut self, id: &InstanceId, generation: u64, answer: &Answer) {
        let Some(watched) = self.watched.get_mut(id).filter(|it| it.generation == generation) else { return };
        watched.asking = false;
        let input = answer.result.map_or_else(Input::Failed, |()| Input::Passed);
        let evidence = Evidence::new(&watched.config.check.to_string(), &answer.text, answer.took);
        self.step(id, input, evidence, None);
        self.record(id);
        self.schedule(id);
    }

    fn heartbeat(&mut self, heartbeat: Heartbeat) {
        let Heartbeat { service, instance: id, answer } = heartbeat;
        // The registration may be newer than what has been followed.
        self.follow();
        if self.watched.get(&id).is_none_or(|watched| watched.service != service) {
            let _ = answer.send(Err(self.why_unknown(&service, &id)));
            return;
        }
        lock(&self.last_heartbeats).insert(id.clone(), self.clock.now());
        let evidence = Evidence::new("heartbeat", "received", Duration::ZERO);
        self.step(&id, Input::Heartbeat, evidence, Some(answer));
        self.record(&id);
        self.schedule(&id);
    }

    fn why_unknown(&self, service: &ServiceRef, id: &InstanceId) -> Refusal {
        let found = self.writer.read(|view| {
            let State { registry, catalog, .. } = &view.state;
            registry.instance(catalog, service, id).map(drop)
        });
        let undeclared =
            || Refusal::new(Code::RegistryUnknownService, format!("{service} is no longer declared"));
        found.err().unwrap_or_else(undeclared)
    }

    /// Runs the machine, and keeps what is to be recorded.
    fn step(
        &mut self,
        id: &InstanceId,
        input: Input,
        evidence: Evidence,
        answer: Option<oneshot::Sender<Result<(), Refusal>>>,
    ) {
        let Some(watched) = self.watched.get_mut(id) else { return };
        let now = self.clock.now();
        let output = watched.step(input, now, fastrand::u64(..));
        if let Some(Transition { to, .. }) = output.transition {
            watched.verdict = Some(Verdict { to, evidence });
        }
        if output.held {
            tracing::warn!(instance = %id, "it turns unhealthy again and again, and is held back until it has been quiet");
        }
        if output.deregister {
            watched.give_up = true;
        }
        match answer {
            Some(answer) if watched.is_recorded() => drop(answer.send(Ok(()))),
            Some(answer) => watched.waiting.push(answer),
            None => {}
        }
    }

    /// Has recorded what is to be, one thing at a time for each instance.
    fn record(&mut self, id: &InstanceId) {
        let Some(watched) = self.watched.get_mut(id) else { return };
        if watched.recording || watched.not_before_recording > self.clock.now() {
            return;
        }
        let Some(command) = watched.next_command(id) else { return };
        watched.recording = true;
        let (writer, id, generation) = (self.writer.clone(), id.clone(), watched.generation);
        self.recordings.spawn(async move {
            let result = writer.command(server_actor(), command).await.map(drop);
            (id, generation, result)
        });
    }

    fn recorded(&mut self, id: &InstanceId, generation: u64, result: Result<(), Refusal>) {
        let now = self.clock.now();
        let Some(watched) = self.watched.get_mut(id).filter(|it| it.generation == generation) else { return };
        watched.recording = false;
        match result {
            Ok(()) => watched.took_note(),
            Err(refusal) => {
                tracing::warn!(instance = %id, %refusal, "cannot record what the health checks say");
                watched.not_before_recording = now.after(AGAIN);
                watched.was_refused(&refusal);
            }
        }
        self.record(id);
        self.schedule(id);
    }
}

async fn sleep_until(clock: &Clock, at: Option<Timestamp>) {
    match at {
        Some(at) => tokio::time::sleep_until(clock.instant_of(at)).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
