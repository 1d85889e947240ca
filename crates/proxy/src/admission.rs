//! Whether a call may pass: the circuit breaker of its service.

use crate::refusal::Refused;
use crate::view::Destination;
use crate::worker::{Handle, Worker};
use std::rc::Rc;
use std::time::Duration;
use tenon_core::breaker::{Config, Mode, Permit, Transition, Verdict};
use tenon_core::{Code, Timestamp};

/// Leave to make one call, by its service's breaker. Dropped without an outcome, it is given back as a call that never was.
pub(crate) struct Leave {
    worker: Rc<Worker>,
    destination: Handle,
    permit: Option<Permit>,
    began: Timestamp,
    took: Option<Duration>,
}

/// Asks a destination's breaker for leave.
///
/// # Errors
/// The refusal of an open circuit.
pub(crate) fn admit(worker: &Rc<Worker>, destination: Handle) -> Result<Leave, Refused> {
    let (worker, began) = (Rc::clone(worker), worker.now());
    match destination.breaker.admit(&destination.traffic.breaker, began) {
        Ok((permit, transition)) => {
            let leave = Leave { worker, destination, permit: Some(permit), began, took: None };
            leave.tell(transition);
            Ok(leave)
        }
        Err(refused) => {
            worker.metrics.not_permitted(&destination.service);
            Err(open(&destination, refused.retry_after))
        }
    }
}

fn open(destination: &Destination, retry_after: Duration) -> Refused {
    let service = &destination.service;
    let detail = match destination.traffic.breaker.mode {
        Mode::ForcedOpen => format!("the circuit breaker of `{service}` is kept open by the manifest"),
        Mode::Automatic | Mode::Disabled | Mode::MetricsOnly => format!(
            "the circuit breaker of `{service}` is open after repeated failures; it is tried again in {} ms",
            retry_after.as_millis()
        ),
    };
    Refused::new(Code::MeshCircuitOpen, detail).by("breaker").retry_after(retry_after)
}

impl Leave {
    /// The service has answered. What that says, is told later; the time that it took ends here.
    pub(crate) fn answered(&mut self) {
        // The clock is read for those only who ask.
        if self.destination.traffic.breaker.slow_call.is_some() {
            self.took = Some(self.worker.now().since(self.began));
        }
    }

    /// Reports what the call says of the service, by what its breaker takes for a failure.
    pub(crate) fn record(mut self, judge: impl FnOnce(&Config) -> Verdict) {
        let destination = Rc::clone(&self.destination);
        let config = &destination.traffic.breaker;
        let verdict = judge(config);
        let now = self.worker.now();
        let outcome =
            config.outcome(verdict == Verdict::Failed, self.took.unwrap_or_else(|| now.since(self.began)));
        let metrics = &self.worker.metrics;
        if verdict == Verdict::Ignored {
            // Dropped, the permit is given back.
            return metrics.breaker_call(&destination.service, "ignored");
        }
        if outcome.failed {
            metrics.breaker_call(&destination.service, "failed");
        }
        if outcome.slow {
            metrics.breaker_call(&destination.service, "slow");
        }
        let Some(permit) = self.permit.take() else { return };
        let output = destination.breaker.record(permit, outcome, config, now);
        if let Some(exceeded) = output.exceeded {
            metrics.exceeded(&destination.service, exceeded);
        }
        self.tell(output.transition);
    }

    fn tell(&self, transition: Option<Transition>) {
        let Some(transition) = transition else { return };
        let to = match transition {
            Transition::Opened => "open",
            Transition::HalfOpened => "half-open",
            Transition::Closed => "closed",
        };
        let service = &self.destination.service;
        self.worker.metrics.transition(service, to);
        tracing::info!(%service, to, "circuit breaker changed");
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            let Destination { breaker, traffic, .. } = &**self.destination;
            breaker.abandon(permit, &traffic.breaker, self.worker.now());
        }
    }
}
