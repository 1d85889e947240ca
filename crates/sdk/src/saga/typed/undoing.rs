//! What undoes a step is told.

use serde::{Deserialize, Serialize};

/// What is known of a step that is to be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(
    from = "Option<O>",
    into = "Option<O>",
    bound(serialize = "O: Clone + Serialize", deserialize = "O: Deserialize<'de>")
)]
pub enum Undo<O> {
    /// It was done, and this was its answer.
    Done(O),
    /// Nobody knows whether it was: no answer came.
    MayHaveRun,
}

/// What is sent to undo a step of [`Compensatable`](super::Compensatable), as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undoing<I, O> {
    /// What the step was given.
    pub input: I,
    /// What it answered.
    #[serde(bound(serialize = "O: Clone + Serialize", deserialize = "O: Deserialize<'de>"))]
    pub output: Undo<O>,
}

impl<O> Undo<O> {
    /// What the step answered, if that is known.
    pub fn output(self) -> Option<O> {
        self.into()
    }
}

impl<O> From<Option<O>> for Undo<O> {
    fn from(output: Option<O>) -> Self {
        output.map_or(Self::MayHaveRun, Self::Done)
    }
}

impl<O> From<Undo<O>> for Option<O> {
    fn from(undo: Undo<O>) -> Self {
        match undo {
            Undo::Done(output) => Some(output),
            Undo::MayHaveRun => None,
        }
    }
}
