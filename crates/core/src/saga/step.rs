//! What follows from what happened.

use super::definition::{Data, Kind, Late, OnUndoFailure, Retry, SignalName, UndoWork, Work};
use super::event::{Cause, Direction, End, Event, Outcome, Token, Why};
use super::input::{Beginning, Illegal, Input, Operator, Output};
use super::instance::{At, Goal, Instance};
use super::shape::{Saga, StepIx};
use crate::Timestamp;
use crate::balance::hash::mix;
use std::time::Duration;

/// Begins a saga: the first event is [`Event::Started`].
pub fn start(saga: &Saga, beginning: Beginning, now: Timestamp) -> (Instance, Output) {
    let Beginning { version, input, seed, queued } = beginning;
    let deadline = saga.definition().deadline.map(|deadline| now.after(deadline));
    let started = Event::Started { version, steps: saga.len(), input, seed, at: now, deadline, queued };
    let Some(state) = Instance::of(&started) else { unreachable!("the event begins an instance") };
    let mut stepper = Stepper { saga, now, state, events: vec![started] };
    stepper.advance();
    stepper.finish()
}

/// Takes in what happened. An answer that is late, or came before, is taken in too, and nothing follows from it.
///
/// # Errors
/// [`Illegal`] if the input does not fit the state.
pub fn step(saga: &Saga, instance: &Instance, input: Input, now: Timestamp) -> Result<Output, Illegal> {
    let mut stepper = Stepper { saga, now, state: instance.clone(), events: Vec::new() };
    stepper.react(input)?;
    stepper.advance();
    Ok(stepper.finish().1)
}

struct Stepper<'a> {
    saga: &'a Saga,
    now: Timestamp,
    state: Instance,
    events: Vec<Event>,
}

impl Stepper<'_> {
    fn emit(&mut self, event: Event) {
        self.state.apply(&event);
        self.events.push(event);
    }

    /// The calls are those that were begun and are still wanted.
    fn finish(self) -> (Instance, Output) {
        let under_way = self.state.calls();
        let begun = self.events.iter().filter_map(|event| match event {
            Event::Began { token, .. } | Event::Repeated { token, .. } => Some(*token),
            _ => None,
        });
        let calls = begun.filter(|token| under_way.contains(token)).collect();
        (self.state, Output { events: self.events, calls })
    }

    fn react(&mut self, input: Input) -> Result<(), Illegal> {
        match input {
            Input::Succeeded { token, output } => self.succeeded(token, output),
            Input::Failed { token, outcome, wait } => self.failed(token, outcome, wait),
            Input::Time => {
                self.time();
                Ok(())
            }
            Input::Signal { name, data } => self.signalled(name, data),
            Input::Cancel { cause } => self.cancel(cause),
            Input::Revert => self.revert(),
            Input::Admitted => {
                if self.state.ended().is_none() && self.state.is_queued() {
                    self.emit(Event::Admitted);
                }
                Ok(())
            }
            Input::Recovered => {
                self.recover();
                Ok(())
            }
            Input::Operator(order) => self.operator(order),
        }
    }

    /// A success counts if it is of any attempt under the present key: the other side did it once.
    fn succeeded(&mut self, token: Token, output: Option<Data>) -> Result<(), Illegal> {
        let step = self.state.progress(token.step).ok_or(Illegal::NoStep(token.step))?;
        let current = step.since <= token.attempt && token.attempt <= step.attempt;
        let counts = match token.direction {
            Direction::Do => matches!(step.at, At::Doing { .. } | At::DoLater { .. } | At::DoParked(_)),
            Direction::Undo => matches!(step.at, At::Undoing { .. } | At::UndoLater { .. } | At::UndoParked),
        };
        if counts && current {
            self.emit(Event::Succeeded { token, output });
        }
        Ok(())
    }

    /// A failure counts only if it is of the present attempt.
    fn failed(&mut self, token: Token, outcome: Outcome, wait: Duration) -> Result<(), Illegal> {
        let step = self.state.progress(token.step).ok_or(Illegal::NoStep(token.step))?;
        let current = step.at.is_called() && self.state.token(token.step) == Some(token);
        let outcome = match outcome {
            // No service says so.
            Outcome::LeftBehind if !self.saga.is_child(token.step) => Outcome::Unknown,
            outcome => outcome,
        };
        match (current, token.direction) {
            (false, _) => {}
            (true, Direction::Do) => self.not_done(token, outcome, wait),
            (true, Direction::Undo) => self.not_undone(token, outcome, wait),
        }
        Ok(())
    }

    fn not_done(&mut self, token: Token, outcome: Outcome, wait: Duration) {
        let Some(step) = self.saga.get(token.step) else { return };
        let Some(progress) = self.state.progress(token.step) else { return };
        let unsure = progress.unsure || outcome == Outcome::Unknown;
        let left = progress.tries < step.retry.tries;
        let forward = self.state.goal() == Goal::Forward;
        let event = match (step.kind, outcome) {
            // Where it can be undone, that is cheaper than to believe that nothing sent before will still arrive.
            (Kind::Compensatable, Outcome::Refused) => Event::GaveUp { token, outcome, may_have_run: unsure },
            // It is over, so another try would find the same.
            (Kind::Compensatable, Outcome::LeftBehind) => {
                Event::GaveUp { token, outcome, may_have_run: true }
            }
            (Kind::Pivot, Outcome::Refused) => Event::GaveUp { token, outcome, may_have_run: false },
            _ if left && forward => {
                Event::Deferred { token, outcome, until: self.later(token, step.retry, wait) }
            }
            (Kind::Compensatable, _) => Event::GaveUp { token, outcome, may_have_run: unsure },
            (Kind::Pivot, _) if unsure => Event::Parked { token, outcome, why: Why::PivotUnknown },
            (Kind::Pivot, _) => Event::GaveUp { token, outcome, may_have_run: false },
            (Kind::Retriable, _) => Event::Parked { token, outcome, why: Why::Spent },
        };
        self.emit(event);
    }

    fn not_undone(&mut self, token: Token, outcome: Outcome, wait: Duration) {
        let Some(undo) = self.saga.get(token.step).and_then(|step| step.undo.as_ref()) else { return };
        let Some(progress) = self.state.progress(token.step) else { return };
        let event = match undo.on_failure {
            // That was decided there, and there is nothing left to be decided.
            _ if outcome == Outcome::LeftBehind => Event::LeftBehind { token, outcome },
            _ if progress.tries < undo.retry.tries => {
                Event::Deferred { token, outcome, until: self.later(token, undo.retry, wait) }
            }
            OnUndoFailure::Skip => Event::LeftBehind { token, outcome },
            OnUndoFailure::Park | OnUndoFailure::Escalate => {
                Event::Parked { token, outcome, why: Why::UndoSpent }
            }
        };
        self.emit(event);
    }

    /// When there is the next try: after what the policy says, and no sooner than was asked for, as far as the policy allows.
    fn later(&self, token: Token, retry: Retry, wait: Duration) -> Timestamp {
        let tries = self.state.progress(token.step).map_or(0, |progress| progress.tries);
        let number = u64::from(token.step.0) << 32 | u64::from(token.attempt);
        let random = mix(self.state.seed() ^ mix(number));
        // The wait before is not kept, so a wait that depends on it goes by what it would be at most.
        let before = retry.backoff.before(tries.saturating_sub(1).max(1), Default::default(), u64::MAX);
        let own = retry.backoff.before(tries, before, random);
        self.now.after(own.max(wait.min(retry.backoff.max_delay)))
    }

    fn time(&mut self) {
        if self.state.ended().is_some() {
            return;
        }
        for step in self.saga.steps() {
            let (at, token) = (self.state.at(step), self.state.token(step));
            let Some(token) = token else { continue };
            match at {
                At::Doing { due: Some(due) } if due <= self.now => {
                    self.not_done(token, Outcome::Unknown, Duration::ZERO);
                }
                At::Undoing { due: Some(due) } if due <= self.now => {
                    self.not_undone(token, Outcome::Unknown, Duration::ZERO);
                }
                At::Waiting { until: Some(until) } if until <= self.now => self.waited(token),
                _ => {}
            }
        }
        let overdue = self.state.deadline().is_some_and(|deadline| deadline <= self.now);
        if overdue && !self.state.is_overdue() && self.state.goal() == Goal::Forward {
            self.emit(Event::Overdue);
            self.turn_back(Cause::Deadline);
        }
    }

    /// What a step waited for is there, or will not come.
    fn waited(&mut self, token: Token) {
        let fails = match self.saga.get(token.step).map(|step| &step.work) {
            Some(Work::Signal { late, .. }) => *late == Late::Fail,
            _ => false,
        };
        self.emit(match fails {
            true => Event::GaveUp { token, outcome: Outcome::Late, may_have_run: false },
            false => Event::Succeeded { token, output: None },
        });
    }

    fn signalled(&mut self, name: SignalName, data: Data) -> Result<(), Illegal> {
        if self.state.ended().is_some() {
            return Err(Illegal::Ended);
        }
        let waits = |step: &StepIx| match self.saga.get(*step).map(|step| &step.work) {
            Some(Work::Signal { name: own, .. }) => *own == name,
            _ => false,
        };
        let step = self.saga.steps().find(waits).ok_or_else(|| Illegal::NoSignal(name.clone()))?;
        match (self.state.at(step), self.state.token(step)) {
            (At::Waiting { .. }, Some(token)) => self.emit(Event::Succeeded { token, output: Some(data) }),
            (At::Idle, _) if self.state.signal(&name).is_none() => self.emit(Event::Signalled { name, data }),
            _ => {}
        }
        Ok(())
    }

    fn cancel(&mut self, cause: Cause) -> Result<(), Illegal> {
        if self.state.ended().is_some() {
            return Err(Illegal::Ended);
        }
        if self.state.is_committed(self.saga) {
            return Err(Illegal::Committed);
        }
        self.turn_back(cause);
        Ok(())
    }

    /// Turns back, unless it is too late; while nobody knows of the pivot, it is only noted.
    fn turn_back(&mut self, cause: Cause) {
        let pivot = self.saga.pivot().map_or(At::Idle, |pivot| self.state.at(pivot));
        let open = pivot.is_under_way() || pivot.is_parked();
        match self.state.goal() {
            Goal::Back(_) => {}
            Goal::Forward if pivot.is_done() => {}
            Goal::Forward if open && self.state.doubt().is_some() => {}
            Goal::Forward if open => self.emit(Event::Doubted { cause }),
            Goal::Forward => self.emit(Event::TurnedBack { cause }),
        }
    }

    fn revert(&mut self) -> Result<(), Illegal> {
        match self.state.ended() {
            None => self.cancel(Cause::Parent),
            Some(End::Completed) if self.saga.pivot().is_some() => Err(Illegal::Committed),
            Some(End::Completed) => {
                self.emit(Event::Reverted);
                Ok(())
            }
            Some(End::Compensated | End::Failed) => Ok(()),
        }
    }

    /// Every call under way is made again, as a new attempt.
    fn recover(&mut self) {
        for token in self.state.calls() {
            let due = self.due(token.step, token.direction);
            let attempt = token.attempt.saturating_add(1);
            self.emit(Event::Repeated { token: Token { attempt, ..token }, due });
        }
    }

    fn operator(&mut self, order: Operator) -> Result<(), Illegal> {
        if self.state.ended().is_some() {
            return Err(Illegal::Ended);
        }
        let until = self.now;
        match order {
            Operator::Retry(step) => {
                self.parked(step)?;
                self.emit(Event::Retried { step, until });
            }
            Operator::Edit(step, input) => {
                let at = self.parked(step)?;
                let unsure = self.state.progress(step).is_some_and(|progress| progress.unsure);
                if unsure && at != At::UndoParked {
                    return Err(Illegal::MayHaveRun(step));
                }
                self.emit(Event::Edited { step, input });
                self.emit(Event::Retried { step, until });
            }
            Operator::Skip(step) => {
                if self.parked(step)? == At::DoParked(Why::PivotUnknown) {
                    return Err(Illegal::Pivot(step));
                }
                self.emit(Event::Skipped { step });
            }
            Operator::MarkDone(step, output) => {
                self.parked(step)?;
                self.emit(Event::SettledByHand { step, output });
            }
            Operator::Compensate => {
                let pivot = self.saga.pivot().map_or(At::Idle, |pivot| self.state.at(pivot));
                match pivot {
                    At::DoParked(_) => self.emit(Event::PivotDenied),
                    _ => return self.cancel(Cause::Operator),
                }
            }
        }
        Ok(())
    }

    fn parked(&self, step: StepIx) -> Result<At, Illegal> {
        let progress = self.state.progress(step).ok_or(Illegal::NoStep(step))?;
        if progress.at.is_parked() { Ok(progress.at) } else { Err(Illegal::NotParked(step)) }
    }

    /// Does what may be done, until nothing more may.
    fn advance(&mut self) {
        while self.state.ended().is_none() {
            let before = self.events.len();
            match self.state.goal() {
                Goal::Forward => self.forward(),
                Goal::Back(_) => self.back(),
            }
            if self.events.len() == before {
                return;
            }
        }
    }

    fn forward(&mut self) {
        let failed = self.state.those(|at| matches!(at, At::NotDone | At::Doubtful));
        if let Some(step) = failed.iter().next() {
            let cause = self.state.doubt().unwrap_or(Cause::Failed(step));
            return self.emit(Event::TurnedBack { cause });
        }
        if self.state.is_queued() {
            return;
        }
        let done = self.state.those(At::is_done);
        if done.len() == u32::from(self.saga.len()) {
            return self.emit(Event::Ended { end: End::Completed });
        }
        for step in self.saga.steps() {
            match self.state.at(step) {
                At::Idle if self.saga.needs(step).within(done) => self.begin(step, Direction::Do),
                // It is not to be done after all, and certainly was not.
                At::DoLater { .. } if self.is_dropped(step) => {
                    if let Some(token) = self.state.token(step) {
                        self.emit(Event::GaveUp { token, outcome: Outcome::Dropped, may_have_run: false });
                    }
                }
                At::DoLater { until } if until <= self.now => self.begin(step, Direction::Do),
                _ => {}
            }
        }
    }

    fn is_dropped(&self, step: StepIx) -> bool {
        let unsure = self.state.progress(step).is_some_and(|progress| progress.unsure);
        self.saga.pivot() == Some(step) && self.state.doubt().is_some() && !unsure
    }

    fn back(&mut self) {
        let doing = self.state.those(|at| matches!(at, At::Doing { .. }));
        for step in doing.iter() {
            // A saga that is run is reverted rather than waited for.
            if let (true, Some(token)) = (self.saga.is_child(step), self.state.token(step)) {
                self.emit(Event::GaveUp { token, outcome: Outcome::Dropped, may_have_run: true });
            }
        }
        if !self.state.those(|at| matches!(at, At::Doing { .. })).is_empty() {
            return;
        }
        let owed = self.state.owed(self.saga);
        if owed.is_empty() {
            let left = self.state.those(|at| at == At::LeftBehind);
            let end = if left.is_empty() { End::Compensated } else { End::Failed };
            return self.emit(Event::Ended { end });
        }
        let unsettled: super::StepSet =
            owed.iter().filter(|step| self.state.at(*step) != At::UndoParked).collect();
        let escalated = self.state.is_escalated(self.saga);
        for step in unsettled.iter() {
            match self.state.at(step) {
                At::Done | At::Doubtful
                    if !escalated && self.saga.behind(step).both(unsettled).is_empty() =>
                {
                    self.begin(step, Direction::Undo);
                }
                At::UndoLater { until } if until <= self.now => self.begin(step, Direction::Undo),
                _ => {}
            }
        }
    }

    fn begin(&mut self, step: StepIx, direction: Direction) {
        let attempt = self.state.progress(step).map_or(0, |progress| progress.attempt).saturating_add(1);
        let token = Token { step, direction, attempt };
        let Some(work) = self.saga.get(step).map(|step| &step.work) else { return };
        match (direction, work) {
            (Direction::Do, Work::Signal { name, timeout, .. }) => {
                let kept = self.state.signal(name).cloned();
                self.emit(Event::Waited { token, until: timeout.map(|timeout| self.now.after(timeout)) });
                if kept.is_some() {
                    self.emit(Event::Succeeded { token, output: kept });
                }
            }
            (Direction::Do, Work::Timer(delay)) => {
                self.emit(Event::Waited { token, until: Some(self.now.after(*delay)) });
            }
            _ => {
                let due = self.due(step, direction);
                self.emit(Event::Began { token, due });
            }
        }
    }

    fn due(&self, step: StepIx, direction: Direction) -> Option<Timestamp> {
        let step = self.saga.get(step)?;
        let timeout = match direction {
            Direction::Do => match &step.work {
                Work::Call { timeout, .. } => *timeout,
                Work::Signal { .. } | Work::Timer(_) | Work::Child(_) => return None,
            },
            Direction::Undo => match &step.undo.as_ref()?.work {
                UndoWork::Call { timeout, .. } => *timeout,
                UndoWork::Revert => return None,
            },
        };
        Some(self.now.after(timeout))
    }
}
