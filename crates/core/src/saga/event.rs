//! What happened to a saga. Its state is the fold of these, so each holds every time and choice that matters.

use super::definition::{Data, SignalName, Version};
use super::shape::StepIx;
use crate::Timestamp;
use std::fmt;

/// Whether a step is done or undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// It is done.
    Do,
    /// It is undone.
    Undo,
}

/// One attempt at a step. What is answered to another attempt than the present one is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// The step.
    pub step: StepIx,
    /// Whether it is done or undone.
    pub direction: Direction,
    /// Which attempt at the step, counted from 1 over both directions.
    pub attempt: u32,
}

/// How an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The other side refused: it did nothing, and under the same key it never will.
    Refused,
    /// It certainly did not arrive.
    Unsent,
    /// Nobody knows: no answer came in time, the connection broke, the other side failed.
    Unknown,
    /// The signal did not come in time.
    Late,
    /// The saga was turned back while it ran.
    Dropped,
    /// The saga that it ran is over, and something of that was left as it is: it is neither done nor can it be undone.
    LeftBehind,
}

/// Why a saga was turned back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// A step failed.
    Failed(StepIx),
    /// Somebody cancelled it.
    Cancelled,
    /// Its deadline passed.
    Deadline,
    /// The saga that it is a step of was turned back.
    Parent,
    /// An operator said so.
    Operator,
}

/// Why a step waits for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// Nobody knows whether the pivot was done, and its tries are spent.
    PivotUnknown,
    /// A step behind the pivot has spent its tries.
    Spent,
    /// What undoes a step has spent its tries.
    UndoSpent,
}

/// How a saga ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// Every step was done.
    Completed,
    /// Every step that may have run was undone.
    Compensated,
    /// It was turned back, and something was left as it is: by a policy, or by somebody; be it of a saga that is a step.
    Failed,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// It began.
    Started {
        /// By which version of its definition.
        version: Version,
        /// How many steps that has.
        steps: u8,
        /// What it was given.
        input: Data,
        /// What varies its waits.
        seed: u64,
        /// When.
        at: Timestamp,
        /// When it is to be over.
        deadline: Option<Timestamp>,
        /// Whether it waits until those before it, by the same key, have ended.
        queued: bool,
    },
    /// Those before it have ended.
    Admitted,
    /// A call is about to be made.
    Began {
        /// The attempt.
        token: Token,
        /// Until when to wait for the answer; a saga that is run has its own deadline.
        due: Option<Timestamp>,
    },
    /// A call is about to be made again after a crash, which spends no try.
    Repeated {
        /// The attempt.
        token: Token,
        /// Until when to wait for the answer.
        due: Option<Timestamp>,
    },
    /// A step waits, for a signal or a time.
    Waited {
        /// The attempt.
        token: Token,
        /// Until when.
        until: Option<Timestamp>,
    },
    /// A step was done, or undone.
    Succeeded {
        /// The attempt.
        token: Token,
        /// What came of it.
        output: Option<Data>,
    },
    /// An attempt failed, and there will be another.
    Deferred {
        /// The attempt.
        token: Token,
        /// How it failed.
        outcome: Outcome,
        /// When.
        until: Timestamp,
    },
    /// A step will not be done.
    GaveUp {
        /// The last attempt.
        token: Token,
        /// How that failed.
        outcome: Outcome,
        /// Whether the step may have run all the same.
        may_have_run: bool,
    },
    /// A step waits for somebody.
    Parked {
        /// The last attempt.
        token: Token,
        /// How that failed.
        outcome: Outcome,
        /// Why.
        why: Why,
    },
    /// A step is left as it is: what undoes it has spent its tries, and its policy says so; or the saga that it ran left something
    /// behind, as a policy or somebody decided there.
    LeftBehind {
        /// The last attempt.
        token: Token,
        /// How that failed.
        outcome: Outcome,
    },
    /// A signal came before any step waited for it.
    Signalled {
        /// Its name.
        name: SignalName,
        /// What it brought.
        data: Data,
    },
    /// It is to be turned back if the pivot turns out not to have been done.
    Doubted {
        /// Why.
        cause: Cause,
    },
    /// From here on it is undone. What was waiting for its next try, a signal or a time waits no more.
    TurnedBack {
        /// Why.
        cause: Cause,
    },
    /// Its deadline has passed.
    Overdue,
    /// Somebody gave a parked step new tries.
    Retried {
        /// The step.
        step: StepIx,
        /// When it is tried.
        until: Timestamp,
    },
    /// Somebody changed what is sent.
    Edited {
        /// The step.
        step: StepIx,
        /// To what.
        input: Data,
    },
    /// Somebody says that a parked step is done, or undone.
    SettledByHand {
        /// The step.
        step: StepIx,
        /// What came of it.
        output: Option<Data>,
    },
    /// Somebody says that a parked step is to be left out, or left as it is.
    Skipped {
        /// The step.
        step: StepIx,
    },
    /// Somebody says that the pivot, of which nobody knew, was not done.
    PivotDenied,
    /// The saga that it was a step of is undone, so it is undone too although it had completed.
    Reverted,
    /// It is over.
    Ended {
        /// How.
        end: End,
    },
}

impl Event {
    /// The end of its type's name in the log.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Started { .. } => "Started",
            Self::Admitted => "Admitted",
            Self::Began { .. } => "Began",
            Self::Repeated { .. } => "Repeated",
            Self::Waited { .. } => "Waited",
            Self::Succeeded { .. } => "Succeeded",
            Self::Deferred { .. } => "Deferred",
            Self::GaveUp { .. } => "GaveUp",
            Self::Parked { .. } => "Parked",
            Self::LeftBehind { .. } => "LeftBehind",
            Self::Signalled { .. } => "Signalled",
            Self::Doubted { .. } => "Doubted",
            Self::TurnedBack { .. } => "TurnedBack",
            Self::Overdue => "Overdue",
            Self::Retried { .. } => "Retried",
            Self::Edited { .. } => "Edited",
            Self::SettledByHand { .. } => "SettledByHand",
            Self::Skipped { .. } => "Skipped",
            Self::PivotDenied => "PivotDenied",
            Self::Reverted => "Reverted",
            Self::Ended { .. } => "Ended",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Do => "do",
            Self::Undo => "undo",
        })
    }
}
