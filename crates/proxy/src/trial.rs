//! What an attempt says about the instance that it went to, and what follows: an instance that does worse than the others of
//! its service is left out for a while.

use crate::cells::Contact;
use crate::view::{Destination, Target};
use crate::worker::{Handle, Worker};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tenon_core::breaker::{Config, Verdict};
use tenon_core::outlier::{self, Reason, Round};
use tenon_core::{InstanceId, ServiceRef, Timestamp};

/// One attempt at one instance, whose outcome is to be told. Dropped, it says nothing.
pub(crate) struct Trial {
    worker: Rc<Worker>,
    destination: Handle,
    target: usize,
    /// Where it counts how long it takes.
    began: Option<Timestamp>,
    took: Option<Duration>,
}

impl Trial {
    /// An attempt at this one of a destination's targets, which begins now.
    pub(crate) fn begin(worker: &Rc<Worker>, destination: Handle, target: usize) -> Self {
        let began = destination.traffic.outlier.latency.is_some().then(|| worker.now());
        Self { worker: Rc::clone(worker), destination, target, began, took: None }
    }

    /// The instance has answered. Whether that was what it should, is told later; the time that it took ends here.
    pub(crate) fn answered(&mut self) {
        self.took = self.began.map(|began| self.worker.now().since(began));
    }

    /// Reports what the attempt says of the instance, by what the service's breaker takes for a failure. Why the instance is
    /// ejected, if that was too much.
    pub(crate) fn record(self, judge: impl FnOnce(&Config) -> Verdict) -> Option<Reason> {
        self.tell(judge, true)
    }

    /// There was no answer, for this reason if that says something. Why the instance is ejected, likewise.
    pub(crate) fn failed(self, contact: Option<Contact>) -> Option<Reason> {
        match contact {
            None => self.tell(Config::judge_timeout, true),
            Some(contact) => self.tell(Config::judge_network, contact != Contact::Refuses),
        }
    }

    fn tell(self, judge: impl FnOnce(&Config) -> Verdict, connected: bool) -> Option<Reason> {
        let destination = &self.destination;
        let target = destination.targets.get(self.target)?;
        let (config, now) = (&destination.traffic.outlier, self.worker.now());
        let took = self.took.or_else(|| Some(now.since(self.began?))).unwrap_or_default();
        let outlier = &target.cells.outlier;
        let verdict = judge(&destination.traffic.breaker);
        if verdict != Verdict::Ignored && destination.traffic.balance.strategy.looks_at_load() {
            target.cells.measured(&destination.cells, took, verdict == Verdict::Succeeded, now);
        }
        let suspect = match verdict {
            Verdict::Ignored => None,
            Verdict::Succeeded => {
                outlier.succeeded(config, took, now);
                None
            }
            Verdict::Failed => outlier.failed(config, connected, took, now),
        };
        let reason = suspect?;
        if !outlier::eject(&destination.all_in_use().map(|it| &it.cells.outlier), outlier, config, now) {
            return None;
        }
        tell_ejected(&self.worker, &destination.service, &target.instance, reason);
        Some(reason)
    }
}

/// Compares the instances of each service whose interval is over. To be called by one worker, now and then.
pub(crate) fn compare(worker: &Worker) {
    let (view, now) = (worker.view(), worker.now());
    for destination in view.destinations() {
        let config = &destination.traffic.outlier;
        let compared = &destination.cells.compared;
        let last = Timestamp::from_micros(compared.load(Ordering::Relaxed));
        if now.since(last) < config.interval {
            continue;
        }
        compared.store(now.as_micros(), Ordering::Relaxed);
        // Before the first interval nothing has been observed.
        if last > Timestamp::ZERO {
            end_round(worker, destination, now);
        }
    }
}

fn end_round(worker: &Worker, destination: &Destination, now: Timestamp) {
    let targets: Vec<&Target> = destination.all_in_use().collect();
    let all: Vec<&outlier::Shared> = targets.iter().map(|it| &it.cells.outlier).collect();
    let round = Round::end(&all, &destination.traffic.outlier, now);
    for (index, reason) in round.ejected {
        if let Some(target) = targets.get(index) {
            tell_ejected(worker, &destination.service, &target.instance, reason);
        }
    }
    for target in round.reinstated.iter().filter_map(|index| targets.get(*index)) {
        tracing::info!(service = %destination.service, instance = %target.instance, "instance is in again early");
    }
}

fn tell_ejected(worker: &Worker, service: &ServiceRef, instance: &InstanceId, reason: Reason) {
    worker.metrics.ejected(service, reason);
    tracing::info!(%service, %instance, %reason, "instance ejected");
}
