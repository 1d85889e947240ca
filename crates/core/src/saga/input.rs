//! What a saga is told, and what it answers.

use super::definition::{Data, SignalName, Version};
use super::event::{Cause, Event, Outcome, Token};
use super::shape::StepIx;
use std::time::Duration;

/// How a saga begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Beginning {
    /// The version of its definition.
    pub version: Version,
    /// What it is given.
    pub input: Data,
    /// What varies its waits.
    pub seed: u64,
    /// Whether it waits for [`Input::Admitted`], for others with its key are before it.
    pub queued: bool,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input {
    /// A call succeeded.
    Succeeded {
        /// The attempt.
        token: Token,
        /// What was answered.
        output: Option<Data>,
    },
    /// A call failed.
    Failed {
        /// The attempt.
        token: Token,
        /// How: [`Outcome::Refused`], [`Outcome::Unsent`], [`Outcome::Unknown`]; of a saga that is a step, [`Outcome::LeftBehind`].
        outcome: Outcome,
        /// How long the other side wants to be left alone, if it said so. A policy's longest wait bounds it.
        wait: Duration,
    },
    /// Time passed.
    Time,
    /// A signal came.
    Signal {
        /// Its name.
        name: SignalName,
        /// What it brought.
        data: Data,
    },
    /// It is to be turned back.
    Cancel {
        /// Why.
        cause: Cause,
    },
    /// The saga that it is a step of was turned back: it is undone, even if it had completed.
    Revert,
    /// Those before it with the same key have ended.
    Admitted,
    /// Whoever had it before may have crashed: nobody knows what became of the calls under way.
    Recovered,
    /// Somebody decided about a parked step.
    Operator(Operator),
}

impl Input {
    /// A call failed, and nothing was said of when to come back.
    pub const fn failed(token: Token, outcome: Outcome) -> Self {
        Self::Failed { token, outcome, wait: Duration::ZERO }
    }
}

/// What somebody may decide about a parked step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Operator {
    /// It has all its tries again.
    Retry(StepIx),
    /// The same, with another input.
    Edit(StepIx, Data),
    /// It is left out; or it is left as it is, if it was to be undone.
    Skip(StepIx),
    /// It was done by hand, with this output; or undone.
    MarkDone(StepIx, Option<Data>),
    /// The pivot was not done; the saga is turned back.
    Compensate,
}

/// What follows from what happened. First the events go to the log, then the calls are made.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Output {
    /// What is to be appended; the instance is what it was with these applied.
    pub events: Vec<Event>,
    /// The calls to be made then.
    pub calls: Vec<Token>,
}

/// Why an input does not fit the state. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Illegal {
    /// The saga has ended.
    #[error("the saga has ended")]
    Ended,
    /// The pivot is done.
    #[error("the saga is past its point of no return; it can only go forward")]
    Committed,
    /// There is no such step.
    #[error("the saga has no step number {}", .0.0)]
    NoStep(StepIx),
    /// The step does not wait for anybody.
    #[error("the step does not wait for a decision")]
    NotParked(StepIx),
    /// The step may have run with the input that it has.
    #[error("the step may have run with the input that it has; retry it as it is, or mark it as done")]
    MayHaveRun(StepIx),
    /// The pivot cannot be left out.
    #[error("the step is the pivot, of which nobody knows; retry it, mark it as done, or compensate")]
    Pivot(StepIx),
    /// No step waits for a signal of this name.
    #[error("no step of the saga waits for a signal `{0}`")]
    NoSignal(SignalName),
}
