//! A call to a service of the mesh, from the deadline to the response: what sidecars and the gateway have in common.

mod paid;
mod race;
mod room;

use crate::admission;
use crate::affinity::Affinity;
use crate::attempt::{Answer, Failure, Terms, attempt};
use crate::balance::{self, Chosen, Nobody, Wish};
use crate::body::Body;
use crate::cells::Contact;
use crate::headers::{self, Marks};
use crate::hold::Patience;
use crate::outgoing::Outgoing;
use crate::policy::Passed;
use crate::refusal::Refused;
use crate::response::{Holds, pass_on};
use crate::story::{Story, grpc_status};
use crate::view::Destination;
use crate::worker::{LocalView, Worker};
use http::{HeaderMap, Response, header};
use paid::Paid;
use race::Ended;
use std::rc::Rc;
use std::time::Duration;
use tenon_api::explain;
use tenon_api::headers::{GRPC_TIMEOUT, TIMEOUT_MS};
use tenon_core::balance::{Key, Subset};
use tenon_core::deadline::{Deadline, GrpcTimeout, MillisTimeout};
use tenon_core::manifest::Traffic;
use tenon_core::priority::Priority;
use tenon_core::retry::{self, Advice, Attempts, Decision, Outcome, Reason, Tried, after};
use tenon_core::{Code, InstanceId, ServiceRef, Timestamp, breaker, limit};

/// Where a call goes and how long it may take.
pub(crate) struct Target {
    /// The view that it was decided by.
    pub(crate) view: Rc<LocalView>,
    /// Which of its destinations.
    pub(crate) index: usize,
    /// What the route allows, if it says so.
    pub(crate) timeout: Option<Duration>,
    /// What the request says of itself.
    pub(crate) marks: Marks,
    /// What policies want.
    pub(crate) passed: Passed,
    /// Which of the service's instances.
    pub(crate) subset: Subset,
}

/// One call on its way.
struct Call<'a> {
    worker: &'a Rc<Worker>,
    story: &'a mut Story,
    outgoing: &'a Outgoing,
    deadline: Deadline,
    /// Whether it is another try of a request that failed further up.
    repetition: bool,
    attempts: Attempts,
    /// Whether nobody can have seen it so far.
    unsent: bool,
    /// The retry that was granted and has not been sent.
    paid: Option<Paid>,
    tried: Vec<InstanceId>,
    patience: Patience,
    /// How often it is tried in all, if a policy says so.
    max_attempts: Option<u32>,
    subset: &'a Subset,
    key: Option<Key>,
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
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn keeps what it is given twice: as such, and as what it makes of it"
)]
pub(crate) fn carry(
    worker: Rc<Worker>,
    mut story: Story,
    target: Target,
    mut outgoing: Outgoing,
) -> impl Future<Output = Response<Body>> {
    async move {
        if let Err(refused) = target.passed.spoil(&worker).await {
            return story.refuse(&refused);
        }
        target.passed.edit_request(&mut outgoing);
        let mut response = match try_carry(&worker, &mut story, &target, &mut outgoing).await {
            Ok((answer, holds)) => {
                target.passed.mirror(&worker, &outgoing, || story.caller());
                pass_on(&worker, story, outgoing, answer, holds)
            }
            Err(refused) => {
                if refused.stops_callers() {
                    worker.shared.spent.note(story.request_id, worker.now());
                }
                story.refuse(&refused)
            }
        };
        target.passed.edit_response(response.headers_mut());
        response
    }
}

async fn try_carry(
    worker: &Rc<Worker>,
    story: &mut Story,
    target: &Target,
    outgoing: &mut Outgoing,
) -> Result<(Answer, Holds), Refused> {
    let Target { view, index, timeout, subset, marks, passed } = target;
    let index = *index;
    let destination = view.destinations().get(index).ok_or_else(unavailable)?;
    let traffic = &destination.traffic;

    // What a policy says, or else the route, or else the service; a caller with less time left has its way.
    let own = passed.timeout().or(*timeout).unwrap_or(traffic.timeout);
    let deadline = deadline(outgoing.headers_mut(), own, story.at);
    story.timeout = Some(deadline.remaining(story.at));
    if deadline.has_passed(story.at) {
        return Err(late(&destination.service.to_string(), 0));
    }

    // No queue: what has no place is refused at once, so that a slow service does not fill this process.
    let priority = marks.priority.unwrap_or(traffic.priority.calls);
    if marks.priority.is_none() && priority != Priority::Default {
        headers::set_priority(outgoing.headers_mut(), priority);
    }
    let place = room::take(worker, destination, priority)?;

    // A service whose calls keep failing is left alone, whichever of its instances they went to.
    let mut service = admission::admit(worker, view.handle(index).ok_or_else(unavailable)?)?;

    // Another try of a request that failed further up is none that earns retries.
    if !marks.repetition {
        destination.cells.budget.deposit(&traffic.budget, story.at);
    }
    let patience = Patience::new(&worker.shared.config.limits);
    let affinity = Affinity::of(&traffic.balance, outgoing);
    outgoing.complete();
    let mut call = Call {
        worker,
        story,
        outgoing,
        deadline,
        repetition: marks.repetition,
        attempts: Attempts::new(),
        unsent: true,
        paid: None,
        tried: Vec::new(),
        patience,
        max_attempts: passed.max_attempts(),
        subset,
        key: affinity.key,
    };
    match call.settle(Rc::clone(view), index).await {
        Ok((mut answer, chosen)) => {
            service.answered();
            affinity.mark(&mut answer.head.headers);
            let holds = Holds {
                leave: Some(service),
                trial: Some(chosen.trial),
                _places: [Some(place), Some(chosen.held)],
            };
            Ok((answer, holds))
        }
        Err(refused) => {
            // That nobody could be asked, or a limit was reached, says nothing of how the service does.
            match refused.code {
                _ if outgoing.body.caller_failed().is_some() => {}
                Code::MeshNetwork | Code::MeshUnreachable => service.record(breaker::Config::judge_network),
                Code::MeshTimeout => service.record(breaker::Config::judge_timeout),
                _ => {}
            }
            Err(refused)
        }
    }
}

impl Call<'_> {
    /// Tries instances until one's answer counts.
    async fn settle(
        &mut self,
        mut view: Rc<LocalView>,
        mut index: usize,
    ) -> Result<(Answer, Chosen), Refused> {
        loop {
            let destination = view.destinations().get(index).ok_or_else(unavailable)?;
            let may_wait = !(destination.resting || self.patience.is_spent());
            let chosen = match balance::choose(self.worker, &view, index, self.wish(), &self.tried, may_wait)
            {
                Ok(chosen) => chosen,
                Err(Nobody::Absent) => {
                    // On the heap, so that calls which need not wait keep no room for it.
                    (view, index) = Box::pin(self.hold(&view, destination)).await?;
                    continue;
                }
                Err(Nobody::Full(full)) => {
                    let whose = format!("every instance of `{}`", destination.service);
                    return Err(overloaded(&whose, "calls at it", "connections", full));
                }
            };
            let target = destination.targets.get(chosen.index).ok_or_else(unavailable)?;
            let began = self.worker.now();
            let terms = self.terms(destination, began)?;
            if let Some(paid) = self.paid.take() {
                paid.sent();
                self.story.retried();
            }
            let Ended { mut chosen, began, result } = match &destination.traffic.hedge {
                // On the heap, so that calls which are not hedged keep no room for it.
                Some(policy) if self.may_be_hedged() => {
                    self.unsent = false;
                    Box::pin(self.race(policy, &view, index, destination, target, chosen)).await
                }
                _ => {
                    let way = target.way(&destination.service, || self.story.caller());
                    let result = attempt(self.worker, &way, self.outgoing, terms).await;
                    Ended { chosen, began, result }
                }
            };
            let target = destination.targets.get(chosen.index).ok_or_else(unavailable)?;
            if let Some(refused) = caller_failed(self.outgoing, result.as_ref().err()) {
                // It says nothing about the instance.
                return Err(refused);
            }
            self.unsent &= result.as_ref().is_err_and(|failure| failure.outcome == Outcome::NeverProcessed);
            let mut ejected = None;
            let result = match result {
                Ok(answer) => {
                    target.cells.found(Contact::Answers);
                    chosen.trial.answered();
                    Ok((answer, chosen))
                }
                Err(failure) => {
                    // Where nobody was asked, the leave is given back.
                    if !failure.ours {
                        failure.contact.into_iter().for_each(|contact| target.cells.found(contact));
                        ejected = chosen.trial.failed(failure.contact);
                    }
                    Err(failure)
                }
            };
            let seen = result.as_ref().map(|(answer, _)| answer);
            room::measure(self.worker, destination, began, seen);
            let next = self.decide(destination, seen);
            self.note(destination, target, began, seen, next);
            self.story.ejected(ejected);
            match (next, result) {
                (Next::Decided(Decision::GiveUp { .. }), Ok((answer, chosen))) => {
                    return Ok((self.answered(answer), chosen));
                }
                (Next::Decided(Decision::GiveUp { reason }), Err(failure)) => {
                    return Err(self.failed(&destination.service, &failure, reason));
                }
                (Next::Wait, _) => self.tried.push(target.instance.clone()),
                (Next::Decided(Decision::Retry { after }), result) => {
                    if let Ok((answer, chosen)) = result {
                        self.story.ejected(answer.judge(chosen.trial));
                    }
                    self.tried.push(target.instance.clone());
                    tokio::time::sleep(after).await;
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
        let _place = destination.cells.pending.admit(destination.traffic.limits.pending).map_err(|full| {
            overloaded(&format!("`{service}`"), "calls that wait for an instance", "pending", full)
        })?;
        let asks_again = !self.tried.is_empty();
        if let Some(waited) = self.patience.wait(self.worker, view, service, most, asks_again).await {
            self.story.waited(began, waited);
        }
        let now = self.worker.view();
        if Rc::ptr_eq(&now, view) {
            // Nothing is told of those who did not listen; by now they may.
            self.tried.clear();
        }
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
        let outcome = outcome_of(result);
        let failed = retry.retry_on.includes(outcome);
        let tried = Tried {
            outcome,
            idempotent: self.outgoing.idempotent,
            replayable: self.outgoing.body.is_replayable(),
            repetition: self.repetition,
            advice: if failed { self.advice(result, now) } else { Advice::Nothing },
            remaining: Some(self.deadline.remaining(now)),
            random: if failed { fastrand::u64(..) } else { 0 },
        };
        let spend = || {
            let granted = destination.cells.budget.withdraw(budget, now);
            self.paid = granted.then(|| Paid::new(self.worker, destination));
            granted
        };
        let decision = match self.max_attempts {
            None => self.attempts.after_try(retry, tried, spend),
            Some(most) => {
                let stated = retry::Policy { max_retries: most.saturating_sub(1), ..retry.clone() };
                self.attempts.after_try(&stated, tried, spend)
            }
        };
        if let Decision::GiveUp { reason } = decision
            && failed
        {
            self.worker.metrics.retries_stopped(&destination.service, reason);
        }
        Next::Decided(decision)
    }

    /// What is said of another try after one that failed: by the answer, or by a hop further down.
    fn advice(&self, result: Result<&Answer, &Failure>, now: Timestamp) -> Advice {
        if self.worker.shared.spent.knows(self.story.request_id, now) {
            return Advice::Never;
        }
        let Ok(answer) = result else { return Advice::Nothing };
        let told = &answer.head.headers;
        if headers::says_no_retry(told) {
            return Advice::Never;
        }
        if let Some(text) = headers::pushback(told) {
            return after::pushback(text);
        }
        let text = told.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        text.map_or(Advice::Nothing, |text| after::retry_after(text, now))
    }

    /// The answer that counts. If it is a failure that retries have been spent for, those who wait for it are told so.
    fn answered(&self, mut answer: Answer) -> Answer {
        if self.attempts.stops_callers() {
            self.worker.shared.spent.note(self.story.request_id, self.worker.now());
            headers::set_no_retry(&mut answer.head.headers, self.outgoing.grpc);
        }
        answer
    }

    /// The terms of the next try.
    fn terms(&self, destination: &Destination, now: Timestamp) -> Result<Terms, Refused> {
        let most = self.deadline.for_try(destination.traffic.retry.per_try_timeout, now);
        let ended = self.attempts.ended();
        if most.is_zero() {
            return Err(late(&destination.service.to_string(), ended));
        }
        Ok(Terms { number: ended.saturating_add(1), most })
    }

    /// What it asks of the choice of an instance.
    fn wish(&self) -> Wish<'_> {
        Wish { subset: self.subset, key: self.key }
    }

    fn may_be_hedged(&self) -> bool {
        self.outgoing.idempotent && self.outgoing.upgrade.is_none() && !self.repetition
    }

    /// Whether nobody listens at any of the service's addresses, though somebody should. Who ended is known here a moment
    /// before it is told, and then another takes its place.
    fn found_nobody(&self, destination: &Destination, result: Result<&Answer, &Failure>) -> bool {
        let Err(failure) = result else { return false };
        failure.contact == Some(Contact::Refuses)
            && destination.traffic.retry.retry_on.includes(failure.outcome)
            && !(self.patience.is_spent() || destination.resting)
            && self.outgoing.body.is_replayable()
            && destination.in_use(self.subset).all(|it| it.cells.contact() == Contact::Refuses)
    }

    /// Remembers an attempt: one that went wrong, or one after such, with what was decided.
    fn note(
        &mut self,
        destination: &Destination,
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
        tracing::debug!(service = %destination.service, instance = %target.instance, %outcome, %decision, "attempt");
        self.story.attempts.push(explain::Attempt {
            instance: Some(target.instance.clone()),
            choice: Some(balance::described(destination, self.subset)),
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
        let code = match (late, self.unsent) {
            (true, _) => Code::MeshTimeout,
            (false, true) => Code::MeshUnreachable,
            (false, false) => Code::MeshNetwork,
        };
        let policy = if late { "timeout" } else { "retry" };
        if failure.ours {
            let detail = format!("`{service}` could not be asked: {}", failure.why);
            return Refused::new(Code::MeshNotReady, detail).by("mtls").retry_after(Duration::from_secs(1));
        }
        let ended = self.attempts.ended();
        let detail = format!("`{service}` did not answer: {}; attempts made: {ended}; {reason}", failure.why);
        Refused { spent: self.attempts.stops_callers(), ..Refused::new(code, detail).by(policy) }
    }
}

/// The deadline of a request that arrived at `at`, which its headers may bring forward. They are taken out: each
/// attempt is told what remains then.
pub(crate) fn deadline(headers: &mut HeaderMap, own: Duration, at: Timestamp) -> Deadline {
    let (millis, grpc) = (headers.remove(TIMEOUT_MS), headers.remove(GRPC_TIMEOUT));
    let millis = millis.and_then(|it| it.to_str().ok()?.parse::<MillisTimeout>().ok()).map(|it| it.0);
    let grpc = grpc.and_then(|it| it.to_str().ok()?.parse::<GrpcTimeout>().ok()).map(|it| it.0);
    Deadline::earliest(at, [Some(own), millis, grpc]).expect("one of the time-outs is given")
}

/// The refusal of a request whose deadline has passed before somebody could be asked.
pub(crate) fn late(whom: &str, ended: u32) -> Refused {
    let detail = format!("the deadline had passed before `{whom}` was asked; attempts made: {ended}");
    Refused::new(Code::MeshTimeout, detail).by("timeout")
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

/// The refusal of a limit that is reached: as many of what as there may be, by which rule.
fn overloaded(whose: &str, what: &str, policy: &'static str, full: limit::Full) -> Refused {
    let detail = format!("{whose} has as many {what} as it may: {full}");
    Refused::new(Code::MeshOverloaded, detail).by(policy).retry_after(Duration::from_secs(1))
}

/// The refusal of a request that ended as it did because its caller failed, or was too slow in sending it.
pub(crate) fn caller_failed(outgoing: &Outgoing, failure: Option<&Failure>) -> Option<Refused> {
    let late = failure.is_some_and(|failure| failure.outcome == Outcome::TimedOut);
    // A stream of gRPC may well wait for the service.
    let slow = late && !outgoing.grpc && outgoing.body.waits_for_caller();
    outgoing.body.caller_failed().or_else(|| {
        slow.then(|| {
            Refused::new(Code::RequestTooSlow, "the request's body did not come in time").by("timeout")
        })
    })
}

fn unavailable() -> Refused {
    Refused::new(Code::MeshServiceUnavailable, "the service has left the mesh")
}
