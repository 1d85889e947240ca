//! What the driver keeps of one instance.

use std::time::Duration;
use tenon_core::health::{self, Check, Config, Evidence, Input, Output, Status};
use tenon_core::platform::Command;
use tenon_core::registry::{self, Instance, Registration};
use tenon_core::{Address, InstanceId, Refusal, ServiceRef, Timestamp};
use tokio::sync::oneshot;

/// A change of belief with what it rests on.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    pub(super) to: Status,
    pub(super) evidence: Evidence,
}

/// One instance under observation.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) service: ServiceRef,
    pub(super) address: Address,
    pub(super) config: Config,
    /// Which registration of this id it is.
    pub(super) generation: u64,
    registered_at: Timestamp,
    state: health::State,
    /// Where its entry in the driver's schedule is.
    pub(super) scheduled: Option<Timestamp>,
    /// Whether a question is under way.
    pub(super) asking: bool,
    /// No tick before this: a wish that is not heeded at once is not repeated at once.
    pub(super) not_before: Timestamp,
    /// What is to be recorded.
    pub(super) verdict: Option<Verdict>,
    /// Whether it is to be taken out.
    pub(super) give_up: bool,
    /// Whether the log is being asked.
    pub(super) recording: bool,
    /// What the log is being asked to record.
    in_flight: Option<Verdict>,
    /// No recording before this.
    pub(super) not_before_recording: Timestamp,
    /// Who waits until everything is recorded.
    pub(super) waiting: Vec<oneshot::Sender<Result<(), Refusal>>>,
}

impl Watched {
    pub(super) fn new(instance: &Instance, config: Config, generation: u64, now: Timestamp) -> Self {
        let Registration { service, address, .. } = &instance.registration;
        Self {
            service: service.clone(),
            address: address.clone(),
            config,
            generation,
            registered_at: instance.registered_at,
            state: health::State::new(instance.status, now),
            scheduled: None,
            asking: false,
            not_before: Timestamp::ZERO,
            verdict: None,
            give_up: false,
            recording: false,
            in_flight: None,
            not_before_recording: Timestamp::ZERO,
            waiting: Vec::new(),
        }
    }

    /// Whether this is the same registration, and not a later one under the same id.
    pub(super) fn is(&self, instance: &Instance) -> bool {
        self.registered_at == instance.registered_at && self.address == instance.registration.address
    }

    pub(super) fn step(&mut self, input: Input, now: Timestamp, jitter: u64) -> Output {
        let (state, output) = health::step(&self.state, &self.config, input, now, jitter);
        self.state = state;
        output
    }

    pub(super) fn is_check_due(&self, now: Timestamp) -> bool {
        !self.asking && health::next_check_at(&self.state, &self.config).is_some_and(|at| at <= now)
    }

    pub(super) fn is_tick_due(&self, now: Timestamp) -> bool {
        self.next_tick().is_some_and(|at| at <= now)
    }

    /// When something is to be done next.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        let check = health::next_check_at(&self.state, &self.config).filter(|_| !self.asking);
        let record = (self.has_command() && !self.recording).then_some(self.not_before_recording);
        check.into_iter().chain(self.next_tick()).chain(record).min()
    }

    /// What a missing heartbeat is evidence of; the only belief that a tick changes.
    pub(super) fn silence(&self) -> Evidence {
        let ttl = match self.config.check {
            Check::Ttl { ttl } => ttl,
            _ => Duration::ZERO,
        };
        Evidence::new("heartbeat", &format!("none for {} ms", ttl.as_millis()), ttl)
    }

    /// Whether the log holds everything that is believed.
    pub(super) fn is_recorded(&self) -> bool {
        self.verdict.is_none() && self.in_flight.is_none()
    }

    /// What to have recorded next.
    pub(super) fn next_command(&mut self, id: &InstanceId) -> Option<Command> {
        let (service, instance) = (self.service.clone(), id.clone());
        if let Some(verdict) = self.verdict.take() {
            let Verdict { to, evidence } = verdict.clone();
            self.in_flight = Some(verdict);
            return Some(Command::Registry(registry::Command::RecordHealth {
                service,
                instance,
                to,
                evidence,
            }));
        }
        std::mem::take(&mut self.give_up).then_some(Command::GiveUp { service, instance })
    }

    /// What was asked for is recorded.
    pub(super) fn took_note(&mut self) {
        self.in_flight = None;
        if self.is_recorded() {
            self.waiting.drain(..).for_each(|waiting| drop(waiting.send(Ok(()))));
        }
    }

    /// What was asked for is not recorded: it is tried again, unless something newer is believed.
    pub(super) fn was_refused(&mut self, refusal: &Refusal) {
        let refused = self.in_flight.take();
        self.verdict = self.verdict.take().or(refused);
        self.waiting.drain(..).for_each(|waiting| drop(waiting.send(Err(refusal.clone()))));
    }

    fn has_command(&self) -> bool {
        self.verdict.is_some() || self.give_up
    }

    fn next_tick(&self) -> Option<Timestamp> {
        health::next_tick_at(&self.state, &self.config).map(|at| at.max(self.not_before))
    }
}
