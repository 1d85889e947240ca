//! A call to a service of the mesh, from the deadline to the response: what sidecars and the gateway have in common.

use crate::admission::{self, Whose};
use crate::attempt::{Answer, Failure, attempt};
use crate::balance::{self, Chosen, Nobody};
use crate::body::Body;
use crate::cells::Contact;
use crate::hold::Patience;
use crate::outgoing::Outgoing;
use crate::refusal::Refused;
use crate::response::{Holds, pass_on};
use crate::story::{Story, grpc_status};
use crate::view::Destination;
use crate::worker::{LocalView, Worker};
use http::{HeaderMap, Response};
use std::rc::Rc;
use std::time::Duration;
use tenon_api::explain;
use tenon_api::headers::TIMEOUT_MS;
use tenon_core::deadline::{Deadline, GRPC_HEADER, GrpcTimeout, MillisTimeout};
use tenon_core::manifest::Traffic;
use tenon_core::retry::{Attempts, Decision, Outcome, Reason, Tried};
use tenon_core::{Code, InstanceId, ServiceRef, Timestamp};

/// Where a call goes and how long it may take.
pub(crate) struct Target {
    /// The view that it was decided by.
    pub(crate) view: Rc<LocalView>,
    /// Which of its destinations.
    pub(crate) index: usize,
    /// What the route allows, if it says so.
    pub(crate) timeout: Option<Duration>,
}

/// One call on its way.
struct Call<'a> {
    worker: &'a Rc<Worker>,
    story: &'a mut Story,
    outgoing: &'a Outgoing,
    deadline: Deadline,
    attempts: Attempts,
    tried: Vec<InstanceId>,
    patience: Patience,
}

/// What becomes of a call after an attempt.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// The machine of the retries has decided.
    Decided(Decision),
    /// Nobody was there to be asked. It was no try of anybody, so it counts as none.
    Wait,
}

/// Carries a request to a service and ends its story with the response.
pub(crate) async fn carry(
    worker: &Rc<Worker>,
    mut story: Story,
    target: Target,
    mut outgoing: Outgoing,
) -> Response<Body> {
    match try_carry(worker, &mut story, target, &mut outgoing).await {
        Ok((answer, holds)) => pass_on(worker, story, outgoing, answer, holds),
        Err(refused) => story.refuse(&refused),
    }
}

async fn try_carry(
    worker: &Rc<Worker>,
    story: &mut Story,
    target: Target,
    outgoing: &mut Outgoing,
) -> Result<(Answer, Holds), Refused> {
    let Target { view, index, timeout } = target;
    let destination = view.destinations().get(index).ok_or_else(unavailable)?;
    let traffic = &destination.traffic;

    // What the route says, or else the service; a caller with less time left has its way.
    let deadline = deadline(outgoing.headers_mut(), timeout.unwrap_or(traffic.timeout), story.at);
    story.timeout = Some(deadline.remaining(story.at));

    // No queue: what has no place is refused at once, so that a slow service does not fill this process.
    let place = destination
        .cells
        .in_flight
        .admit(traffic.max_in_flight)
        .map_err(|full| overloaded(destination, &full))?;

    // A service whose calls keep failing is left alone, whichever of its instances they went to.
    let whose = Whose { service: &destination.service, instance: None };
    let service = admission::admit(worker, &destination.cells.breaker, &traffic.breaker, whose)
        .map_err(|wait| admission::open(&destination.service, "the service", wait))?;

    destination.cells.budget.deposit(&traffic.budget, story.at);
    let patience = Patience::new(&worker.shared.config.limits);
    let (attempts, tried) = (Attempts::new(), Vec::new());
    let call = Call { worker, story, outgoing, deadline, attempts, tried, patience };
    match call.settle(Rc::clone(&view), index).await {
        Ok((answer, chosen)) => {
            let holds = Holds {
                leaves: [Some(service), Some(chosen.leave)],
                _places: [Some(place), Some(chosen.held)],
            };
            Ok((answer, holds))
        }
        Err(refused) => {
            // Whether anybody could be asked at all is the instances' affair, and their breakers know.
            if matches!(refused.code, Code::MeshNetwork | Code::MeshTimeout) && !outgoing.body.caller_failed()
            {
                service.record(false);
            }
            Err(refused)
        }
    }
}

impl Call<'_> {
    /// Tries instances until one's answer counts.
    async fn settle(
        mut self,
        mut view: Rc<LocalView>,
        mut index: usize,
    ) -> Result<(Answer, Chosen), Refused> {
        loop {
            let destination = view.destinations().get(index).ok_or_else(unavailable)?;
            let policy = &destination.traffic.retry;
            let may_wait = !self.patience.is_spent();
            let chosen = match balance::choose(self.worker, &view, index, &self.tried, may_wait) {
                Ok(chosen) => chosen,
                Err(Nobody::Absent) => {
                    // On the heap, so that calls which need not wait keep no room for it.
                    (view, index) = Box::pin(self.hold(&view, destination)).await?;
                    continue;
                }
                Err(Nobody::Open(wait)) => {
                    return Err(admission::open(&destination.service, "every instance of", wait));
                }
            };
            let target = destination.targets.get(chosen.index).ok_or_else(unavailable)?;
            let began = self.worker.now();
            let most = self.deadline.for_try(policy.per_try_timeout, began);
            let result = attempt(self.worker, &target.address, self.outgoing, most).await;
            if self.outgoing.body.caller_failed() {
                // It says nothing about the instance: its leave is given back.
                return Err(Refused::new(Code::RequestInvalid, "the request's body broke off"));
            }
            let result = match result {
                Ok(answer) => {
                    target.cells.answered();
                    Ok((answer, chosen))
                }
                Err(failure) => {
                    target.cells.failed(failure.contact, chosen.leave);
                    Err(failure)
                }
            };
            let seen = result.as_ref().map(|(answer, _)| answer);
            let next = self.decide(destination, seen);
            self.note(&destination.service, target, began, seen, next);
            match (next, result) {
                (Next::Decided(Decision::GiveUp { .. }), Ok(answered)) => return Ok(answered),
                (Next::Decided(Decision::GiveUp { reason }), Err(failure)) => {
                    return Err(self.failed(&destination.service, &failure, reason));
                }
                (Next::Wait, _) => self.tried.push(target.instance.clone()),
                (Next::Decided(Decision::Retry { after }), result) => {
                    if let Ok((_, chosen)) = result {
                        chosen.leave.record(false);
                    }
                    self.tried.push(target.instance.clone());
                    tokio::time::sleep(after).await;
                    self.story.retried();
                    // Who may be called may have changed; the instance that failed may be gone by now.
                    let now = self.worker.view();
                    if let Some(place) = now.find(&destination.service) {
                        (view, index) = (now, place);
                    }
                }
            }
        }
    }

    /// Waits until something about the mesh has changed, if the service is to have an instance and there is time. What
    /// holds then.
    async fn hold(
        &mut self,
        view: &Rc<LocalView>,
        destination: &Destination,
    ) -> Result<(Rc<LocalView>, usize), Refused> {
        let service = &destination.service;
        let began = self.worker.now();
        let most = self.deadline.remaining(began);
        if destination.resting || self.patience.is_spent() || most.is_zero() {
            return Err(self.nobody(destination));
        }
        if let Some(waited) = self.patience.wait(self.worker, view, service, most).await {
            self.story.waited(began, waited);
        }
        let now = self.worker.view();
        let index = now.find(service).ok_or_else(unavailable)?;
        Ok((now, index))
    }

    /// The refusal of a call to a service that has no instance.
    fn nobody(&self, destination: &Destination) -> Refused {
        let service = &destination.service;
        let detail = match self.patience.held() {
            _ if destination.resting => format!(
                "`{service}` is stopped or has no replicas; `tenon start` and `tenon scale` change that"
            ),
            Some(held) => format!(
                "no instance of `{service}` is healthy, nor became so within the {} ms that the call waited; \
                 `tenon instances` shows why",
                held.as_millis()
            ),
            None => format!("no instance of `{service}` is healthy; `tenon instances` shows why"),
        };
        Refused::new(Code::MeshServiceUnavailable, detail).by("health")
    }

    fn decide(&mut self, destination: &Destination, result: Result<&Answer, &Failure>) -> Next {
        if self.found_nobody(destination, result) {
            return Next::Wait;
        }
        let Traffic { retry, budget, .. } = &destination.traffic;
        let now = self.worker.now();
        let tried = Tried {
            outcome: outcome_of(result),
            idempotent: self.outgoing.idempotent,
            replayable: self.outgoing.body.is_replayable(),
            remaining: Some(self.deadline.remaining(now)),
            random: fastrand::u64(..),
        };
        let spend = || destination.cells.budget.withdraw(budget, now);
        Next::Decided(self.attempts.after_try(retry, tried, spend))
    }

    /// Whether nobody listens at any of the service's addresses, though somebody should. Who ended is known here a moment
    /// before it is told, and then another takes its place.
    fn found_nobody(&self, destination: &Destination, result: Result<&Answer, &Failure>) -> bool {
        let Err(failure) = result else { return false };
        failure.contact == Some(Contact::Refuses)
            && destination.traffic.retry.retry_on.includes(failure.outcome)
            && !(self.patience.is_spent() || destination.resting)
            && self.outgoing.body.is_replayable()
            && destination.in_use().all(|it| it.cells.contact() == Contact::Refuses)
    }

    /// Remembers an attempt: one that went wrong, or one after such, with what was decided.
    fn note(
        &mut self,
        service: &ServiceRef,
        target: &crate::view::Target,
        began: Timestamp,
        result: Result<&Answer, &Failure>,
        next: Next,
    ) {
        let status = result.ok().map(|answer| answer.head.status.as_u16());
        if let Some(status) = status.filter(|status| *status < 500 && self.story.attempts.is_empty()) {
            return self.story.served(Some(&target.instance), &target.address, began, status);
        }
        let outcome = match result {
            Ok(answer) => answer.head.status.to_string(),
            Err(failure) => failure.why.clone(),
        };
        let decision = match next {
            Next::Decided(Decision::Retry { after }) => format!("retry after {} ms", after.as_millis()),
            Next::Decided(Decision::GiveUp { reason }) => reason.to_string(),
            Next::Wait => "wait for another instance".to_owned(),
        };
        tracing::debug!(%service, instance = %target.instance, %outcome, %decision, "attempt");
        self.story.attempts.push(explain::Attempt {
            instance: Some(target.instance.clone()),
            address: Some(target.address.clone()),
            after: began.since(self.story.at),
            duration: self.worker.now().since(began),
            status,
            outcome,
            decision,
        });
    }

    fn failed(&self, service: &ServiceRef, failure: &Failure, reason: Reason) -> Refused {
        let late = self.deadline.has_passed(self.worker.now()) || failure.outcome == Outcome::TimedOut;
        let code = if late { Code::MeshTimeout } else { Code::MeshNetwork };
        let policy = if late { "timeout" } else { "retry" };
        let ended = self.attempts.ended();
        let detail = format!("`{service}` did not answer: {}; attempts made: {ended}; {reason}", failure.why);
        Refused::new(code, detail).by(policy)
    }
}

/// The deadline of a request that arrived at `at`, which its headers may bring forward. They are taken out: each
/// attempt is told what remains then.
pub(crate) fn deadline(headers: &mut HeaderMap, own: Duration, at: Timestamp) -> Deadline {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let millis = text(TIMEOUT_MS).and_then(|text| text.parse::<MillisTimeout>().ok()).map(|it| it.0);
    let grpc = text(GRPC_HEADER).and_then(|text| text.parse::<GrpcTimeout>().ok()).map(|it| it.0);
    headers.remove(TIMEOUT_MS);
    headers.remove(GRPC_HEADER);
    Deadline::earliest(at, [Some(own), millis, grpc]).expect("one of the time-outs is given")
}

/// What the retry machine is told of an attempt.
fn outcome_of(result: Result<&Answer, &Failure>) -> Outcome {
    match result {
        Err(failure) => failure.outcome,
        Ok(answer) => match grpc_status(&answer.head.headers) {
            Some(status) => Outcome::GrpcStatus(status),
            None => Outcome::Status(answer.head.status.as_u16()),
        },
    }
}

fn overloaded(destination: &Destination, full: &tenon_core::limit::Full) -> Refused {
    let detail = format!("`{}` has as many requests in flight as it may: {full}", destination.service);
    Refused::new(Code::MeshOverloaded, detail).by("max-in-flight").retry_after(Duration::from_secs(1))
}

fn unavailable() -> Refused {
    Refused::new(Code::MeshServiceUnavailable, "the service has left the mesh")
}
