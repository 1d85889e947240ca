//! A saga that runs: the fold of its events.

use super::definition::{Data, OnUndoFailure, SignalName, Version};
use super::event::{Cause, Direction, End, Event, Outcome, Token, Why};
use super::shape::{Saga, StepIx, StepSet};
use crate::Timestamp;
use std::collections::BTreeMap;

/// A saga that runs, or has ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Instance {
    version: Version,
    input: Data,
    seed: u64,
    started_at: Timestamp,
    deadline: Option<Timestamp>,
    queued: bool,
    overdue: bool,
    doubt: Option<Cause>,
    goal: Goal,
    steps: Vec<Progress>,
    /// Those that came before they were waited for.
    signals: BTreeMap<SignalName, Data>,
    ended: Option<End>,
}

/// Where a saga is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Goal {
    /// To its end.
    Forward,
    /// Back to where it began.
    Back(Cause),
}

/// How far a step is.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Progress {
    /// Where it is.
    pub at: At,
    /// The last attempt at it.
    pub attempt: u32,
    /// How often it was refused and then tried under a new key.
    pub round: u32,
    /// The first attempt of the round.
    pub since: u32,
    /// The tries spent, in the present direction.
    pub tries: u32,
    /// Whether an attempt of the round may have run.
    pub unsure: bool,
    /// What came of it.
    pub output: Option<Data>,
    /// What is sent instead of what its definition says.
    pub edited: Option<Data>,
}

/// Where a step is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum At {
    /// Not begun; or no more waited for.
    #[default]
    Idle,
    /// Called, and not answered yet.
    Doing {
        /// Until when to wait.
        due: Option<Timestamp>,
    },
    /// It waits, for a signal or a time.
    Waiting {
        /// Until when.
        until: Option<Timestamp>,
    },
    /// It will be tried again.
    DoLater {
        /// When.
        until: Timestamp,
    },
    /// It waits for somebody.
    DoParked(Why),
    /// Done.
    Done,
    /// Left out by somebody.
    LeftOut,
    /// It certainly did nothing.
    NotDone,
    /// Given up, and it may have run.
    Doubtful,
    /// What undoes it was called.
    Undoing {
        /// Until when to wait.
        due: Option<Timestamp>,
    },
    /// It will be tried again to undo it.
    UndoLater {
        /// When.
        until: Timestamp,
    },
    /// Undoing it waits for somebody.
    UndoParked,
    /// Undone.
    Undone,
    /// Left as it is.
    LeftBehind,
}

/// How a saga is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It began, and no step has.
    Started,
    /// At least one step is under way.
    StepExecuting,
    /// Between one step and the next.
    StepCompleted,
    /// It is turned back, and steps are under way still.
    StepFailed,
    /// Steps are undone.
    Compensating,
    /// It waits for somebody, and for nothing else.
    Parked,
    /// Every step was done.
    Completed,
    /// Every step that may have run was undone.
    Compensated,
    /// Something was left as it is.
    Failed,
}

impl At {
    /// Whether a call is under way.
    pub const fn is_called(self) -> bool {
        matches!(self, Self::Doing { .. } | Self::Undoing { .. })
    }

    /// Whether it waits for somebody.
    pub const fn is_parked(self) -> bool {
        matches!(self, Self::DoParked(_) | Self::UndoParked)
    }

    /// Whether it goes on without anybody: a call, a try to come, a signal or a time.
    pub const fn is_under_way(self) -> bool {
        self.is_called()
            || matches!(self, Self::Waiting { .. } | Self::DoLater { .. } | Self::UndoLater { .. })
    }

    /// Whether what depends on the step may begin.
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Done | Self::LeftOut)
    }

    /// Whether it was or is being undone.
    pub const fn is_undo(self) -> bool {
        matches!(
            self,
            Self::Undoing { .. }
                | Self::UndoLater { .. }
                | Self::UndoParked
                | Self::Undone
                | Self::LeftBehind
        )
    }

    /// When something happens by itself.
    const fn wake_at(self) -> Option<Timestamp> {
        match self {
            Self::Doing { due: at } | Self::Undoing { due: at } | Self::Waiting { until: at } => at,
            Self::DoLater { until } | Self::UndoLater { until } => Some(until),
            _ => None,
        }
    }
}

impl Instance {
    /// The instance that an event begins, if it is one that begins any.
    pub fn of(event: &Event) -> Option<Self> {
        let Event::Started { version, steps, input, seed, at, deadline, queued } = event else { return None };
        Some(Self {
            version: *version,
            input: input.clone(),
            seed: *seed,
            started_at: *at,
            deadline: *deadline,
            queued: *queued,
            overdue: false,
            doubt: None,
            goal: Goal::Forward,
            steps: vec![Progress::default(); usize::from(*steps)],
            signals: BTreeMap::new(),
            ended: None,
        })
    }

    /// The instance that events make, if the first begins one.
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Option<Self> {
        let mut events = events.into_iter();
        let mut instance = Self::of(events.next()?)?;
        events.for_each(|event| instance.apply(event));
        Some(instance)
    }

    /// The version of its definition.
    pub fn version(&self) -> Version {
        self.version
    }

    /// What it was given.
    pub fn input(&self) -> &Data {
        &self.input
    }

    /// What varies its waits.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// When it began.
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// When it is to be over.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }

    /// Whether it waits for others with its key.
    pub fn is_queued(&self) -> bool {
        self.queued
    }

    /// Whether its deadline has passed.
    pub fn is_overdue(&self) -> bool {
        self.overdue
    }

    /// Why it is to be turned back, if the pivot turns out not to have been done.
    pub fn doubt(&self) -> Option<Cause> {
        self.doubt
    }

    /// Where it is going.
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<End> {
        self.ended
    }

    /// How far each step is.
    pub fn steps(&self) -> &[Progress] {
        &self.steps
    }

    /// How far a step is.
    pub fn progress(&self, step: StepIx) -> Option<&Progress> {
        self.steps.get(step.index())
    }

    /// A signal that came before it was waited for.
    pub fn signal(&self, name: &SignalName) -> Option<&Data> {
        self.signals.get(name)
    }

    /// How many signals came before they were waited for.
    pub fn kept_signals(&self) -> usize {
        self.signals.len()
    }

    /// Where a step is.
    pub fn at(&self, step: StepIx) -> At {
        self.progress(step).map_or(At::Idle, |progress| progress.at)
    }

    /// The steps that are somewhere.
    pub fn those(&self, is: impl Fn(At) -> bool) -> StepSet {
        let numbered = (0u8..).map(StepIx).zip(&self.steps);
        numbered.filter(|(_, progress)| is(progress.at)).map(|(step, _)| step).collect()
    }

    /// The calls that are under way: after a crash, those of which nobody knows what became of them.
    pub fn calls(&self) -> Vec<Token> {
        self.those(At::is_called).iter().filter_map(|step| self.token(step)).collect()
    }

    /// Which key a call has, besides its step and direction: a step that was refused is tried again under a new one.
    pub fn round(&self, token: Token) -> u32 {
        match token.direction {
            Direction::Do => self.progress(token.step).map_or(0, |progress| progress.round),
            Direction::Undo => 0,
        }
    }

    /// The present attempt at a step.
    pub fn token(&self, step: StepIx) -> Option<Token> {
        let progress = self.progress(step)?;
        let direction = if progress.at.is_undo() { Direction::Undo } else { Direction::Do };
        Some(Token { step, direction, attempt: progress.attempt })
    }

    /// Whether the pivot is done, so that it only goes forward.
    pub fn is_committed(&self, saga: &Saga) -> bool {
        saga.pivot().is_some_and(|pivot| self.at(pivot).is_done())
    }

    /// The steps that are to be undone, and are not yet.
    pub fn owed(&self, saga: &Saga) -> StepSet {
        let undoable = |step: &StepIx| saga.get(*step).is_some_and(|step| step.undo.is_some());
        let owed = self.those(|at| {
            matches!(at, At::Done | At::Doubtful | At::Undoing { .. } | At::UndoLater { .. } | At::UndoParked)
        });
        owed.iter().filter(undoable).collect()
    }

    /// Whether a step that cannot be undone holds up all others.
    pub fn is_escalated(&self, saga: &Saga) -> bool {
        let escalates = |step: StepIx| {
            let undo = saga.get(step).and_then(|step| step.undo.as_ref());
            undo.is_some_and(|undo| undo.on_failure == OnUndoFailure::Escalate)
        };
        self.those(|at| at == At::UndoParked).iter().any(escalates)
    }

    /// Whether it waits for somebody, and for nothing else.
    pub fn is_parked(&self) -> bool {
        self.ended.is_none()
            && !self.those(At::is_parked).is_empty()
            && self.those(At::is_under_way).is_empty()
    }

    /// When to step with [`Input::Time`](super::Input::Time), if nothing else happens before.
    pub fn wake_at(&self) -> Option<Timestamp> {
        if self.ended.is_some() {
            return None;
        }
        let deadline = self.deadline.filter(|_| !self.overdue && self.goal == Goal::Forward);
        self.steps.iter().filter_map(|progress| progress.at.wake_at()).chain(deadline).min()
    }

    /// How it is, in one word.
    pub fn status(&self) -> Status {
        let doing = self.those(|at| matches!(at, At::Doing { .. } | At::DoLater { .. } | At::Waiting { .. }));
        match (self.ended, self.goal) {
            (Some(End::Completed), _) => Status::Completed,
            (Some(End::Compensated), _) => Status::Compensated,
            (Some(End::Failed), _) => Status::Failed,
            (None, _) if self.is_parked() => Status::Parked,
            (None, Goal::Back(_)) if !doing.is_empty() => Status::StepFailed,
            (None, Goal::Back(_)) => Status::Compensating,
            (None, Goal::Forward) if !doing.is_empty() => Status::StepExecuting,
            (None, Goal::Forward) if self.steps.iter().all(|step| step.at == At::Idle) => Status::Started,
            (None, Goal::Forward) => Status::StepCompleted,
        }
    }

    /// Folds an event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Started { .. } => {}
            Event::Admitted => self.queued = false,
            Event::Began { token, due } => self.begin(*token, *due, true),
            Event::Repeated { token, due } => {
                self.begin(*token, *due, false);
                self.with(token.step, |step| step.unsure = true);
            }
            Event::Waited { token, until } => {
                self.begin(*token, None, true);
                self.place(token.step, At::Waiting { until: *until });
            }
            Event::Succeeded { token, output } => self.succeed(*token, output.as_ref()),
            Event::Deferred { token, outcome, until } => {
                self.with(token.step, |step| step.defer(*token, *outcome, *until));
            }
            Event::GaveUp { token, may_have_run, .. } => {
                self.place(token.step, if *may_have_run { At::Doubtful } else { At::NotDone });
            }
            Event::Parked { token, outcome, why } => self.with(token.step, |step| {
                step.unsure |= *outcome == Outcome::Unknown;
                step.at = if *why == Why::UndoSpent { At::UndoParked } else { At::DoParked(*why) };
                if *outcome == Outcome::Refused && *why == Why::Spent {
                    step.next_round();
                }
            }),
            Event::LeftBehind { token, .. } => self.place(token.step, At::LeftBehind),
            Event::Signalled { name, data } => _ = self.signals.insert(name.clone(), data.clone()),
            Event::Doubted { cause } => self.doubt = Some(*cause),
            Event::TurnedBack { cause } => self.turn_back(*cause),
            Event::Overdue => self.overdue = true,
            Event::Retried { step, until } => self.with(*step, |step| {
                step.tries = 0;
                step.at = match step.at {
                    At::UndoParked => At::UndoLater { until: *until },
                    _ => At::DoLater { until: *until },
                };
            }),
            Event::Edited { step, input } => self.with(*step, |step| step.edited = Some(input.clone())),
            Event::SettledByHand { step, output } => self.with(*step, |step| {
                step.at = if step.at == At::UndoParked { At::Undone } else { At::Done };
                if step.at == At::Done {
                    step.output.clone_from(output);
                }
            }),
            Event::Skipped { step } => self.with(*step, |step| {
                step.at = if step.at == At::UndoParked { At::LeftBehind } else { At::LeftOut };
            }),
            Event::PivotDenied => {
                let pivot = self.those(|at| at == At::DoParked(Why::PivotUnknown));
                pivot.iter().for_each(|step| self.place(step, At::NotDone));
            }
            Event::Reverted => {
                self.ended = None;
                self.turn_back(Cause::Parent);
            }
            Event::Ended { end } => self.ended = Some(*end),
        }
    }

    fn with(&mut self, step: StepIx, change: impl FnOnce(&mut Progress)) {
        if let Some(progress) = self.steps.get_mut(step.index()) {
            change(progress);
        }
    }

    fn place(&mut self, step: StepIx, at: At) {
        self.with(step, |progress| progress.at = at);
    }

    fn begin(&mut self, token: Token, due: Option<Timestamp>, spends: bool) {
        self.with(token.step, |step| {
            if token.direction == Direction::Undo && !step.at.is_undo() {
                step.tries = 0;
                // What somebody gave the step is for doing it, not for undoing it.
                step.edited = None;
            }
            step.attempt = token.attempt;
            step.tries += u32::from(spends);
            step.at = match token.direction {
                Direction::Do => At::Doing { due },
                Direction::Undo => At::Undoing { due },
            };
        });
    }

    fn succeed(&mut self, token: Token, output: Option<&Data>) {
        self.with(token.step, |step| match token.direction {
            Direction::Do => {
                step.at = At::Done;
                step.output = output.cloned();
            }
            Direction::Undo => step.at = At::Undone,
        });
    }

    fn turn_back(&mut self, cause: Cause) {
        self.goal = Goal::Back(cause);
        for step in &mut self.steps {
            step.at = match step.at {
                At::DoLater { .. } if step.unsure => At::Doubtful,
                At::DoLater { .. } => At::NotDone,
                At::Waiting { .. } => At::NotDone,
                other => other,
            };
        }
    }
}

impl Progress {
    fn defer(&mut self, token: Token, outcome: Outcome, until: Timestamp) {
        match token.direction {
            Direction::Do => {
                self.unsure |= outcome == Outcome::Unknown;
                self.at = At::DoLater { until };
                if outcome == Outcome::Refused {
                    self.next_round();
                }
            }
            Direction::Undo => self.at = At::UndoLater { until },
        }
    }

    /// A refusal is final under its key, and all that was sent under it did nothing.
    fn next_round(&mut self) {
        self.round += 1;
        self.since = self.attempt + 1;
        self.unsure = false;
    }
}
