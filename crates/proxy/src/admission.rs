//! Whether a call may pass: circuit breakers and limits on requests in flight.

use crate::refusal::Refused;
use crate::worker::Worker;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tenon_core::breaker::{Answer, Config, Input, Permit, Shared, State, Transition, step};
use tenon_core::{Code, InstanceId, ServiceRef, Timestamp};

/// Leave to make one call, by one breaker. Dropped without an outcome, it is given back as a call that never was.
pub(crate) struct Leave {
    worker: Rc<Worker>,
    breaker: Arc<Shared>,
    config: Config,
    permit: Option<Permit>,
    service: ServiceRef,
    instance: Option<InstanceId>,
}

/// Whose breaker is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whose<'a> {
    pub(crate) service: &'a ServiceRef,
    /// `None` for the service's own.
    pub(crate) instance: Option<&'a InstanceId>,
}

/// Asks a breaker for leave.
///
/// # Errors
/// After how long it is worth asking again.
pub(crate) fn admit(
    worker: &Rc<Worker>,
    breaker: &Arc<Shared>,
    config: &Config,
    whose: Whose<'_>,
) -> Result<Leave, Duration> {
    let (permit, transition) = breaker.admit(config, worker.now()).map_err(|refused| refused.retry_after)?;
    let leave = Leave {
        worker: Rc::clone(worker),
        breaker: Arc::clone(breaker),
        config: config.clone(),
        permit: Some(permit),
        service: whose.service.clone(),
        instance: whose.instance.cloned(),
    };
    leave.tell(transition);
    Ok(leave)
}

/// How long until a breaker would give leave; zero if it would now. Changes nothing.
pub(crate) fn wait(breaker: &Shared, config: &Config, now: Timestamp) -> Duration {
    let state = breaker.state();
    if matches!(state, State::Closed { .. }) {
        return Duration::ZERO;
    }
    match step(state, config, Input::Admit, now).1.answer {
        Answer::Refused(refused) => refused.retry_after.max(Duration::from_micros(1)),
        Answer::Admitted(_) | Answer::Counted | Answer::Stale => Duration::ZERO,
    }
}

/// The refusal of an open circuit.
pub(crate) fn open(service: &ServiceRef, whose: &str, retry_after: Duration) -> Refused {
    let detail = format!(
        "the circuit breaker of {whose} `{service}` is open after repeated failures; it is tried again in {} ms",
        retry_after.as_millis()
    );
    Refused::new(Code::MeshCircuitOpen, detail).by("breaker").retry_after(retry_after)
}

impl Leave {
    /// Reports how the call ended.
    pub(crate) fn record(mut self, succeeded: bool) {
        if let Some(permit) = self.permit.take() {
            let transition = self.breaker.record(permit, succeeded, &self.config, self.worker.now());
            self.tell(transition);
        }
    }

    fn tell(&self, transition: Option<Transition>) {
        let Some(transition) = transition else { return };
        let to = match transition {
            Transition::Opened => "open",
            Transition::HalfOpened => "half-open",
            Transition::Closed => "closed",
        };
        let instance = self.instance.as_ref().map(InstanceId::as_str).unwrap_or_default();
        self.worker.metrics.transition(&self.service, instance, to);
        tracing::info!(service = %self.service, instance, to, "circuit breaker changed");
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.breaker.abandon(permit, &self.config, self.worker.now());
        }
    }
}
