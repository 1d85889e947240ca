//! Sagas: work over several services that is either done wholly or undone wholly, whatever fails on the way.
//!
//! A [`Definition`] is data: steps, each with a call, what undoes it, and what it depends on. What may run follows from the
//! dependencies alone. Before the *pivot* a step that fails turns the saga back: everything that may have run is undone,
//! in the reverse order of the dependencies. After the pivot the saga only goes forward.
//!
//! Life cycle: [`start`] and then [`step()`] take what happened and answer with events to append and calls to make. An
//! [`Instance`] is the fold of its events and nothing else. The order is the point of it: the events go to the log first,
//! which thereby holds the intent of a call before it is made and the outcome of one before the next; if the append is
//! refused, for another owner's came first, then nothing of the answer counts. After a crash [`Input::Recovered`] says which
//! calls to make again. [`Instance::wake_at`] is when to step with [`Input::Time`].
//!
//! A call has a [`Token`], its attempt: an answer to another attempt than the present one is late, and harmless. It has a
//! key, too, which stays the same over its repeats ([`Instance::round`]), so that the other side knows them; what that side
//! must do is the machine [`barrier`]. An answer that did not come is *unknown*: repeated under the same key, or
//! undone as what may have run, never taken for a failure.
//!
//! Bounded: at most [`MAX_STEPS`] steps, each with budgets of tries, one to do and another to undo. Every event but those
//! of crashes and operators lowers [`rank()`], so that there are at most that many.
//!
//! Left out on purpose: how inputs are made of outputs (expressions are texts here), what is called and how an answer is
//! judged, who owns an instance, and how the instances that [`Definition::serialize_by`] orders wait for each other.

pub mod answer;
pub mod barrier;
mod definition;
mod event;
mod fields;
mod input;
mod instance;
pub mod invariants;
mod rank;
mod shape;
mod step;

pub use definition::{
    Action, Call, Data, Definition, Expr, InputOf, Kind, Late, MAX_EXPR, MAX_PROTOS, MAX_STEPS, MAX_TRIES,
    OnUndoFailure, Protos, Retry, SagaName, SignalName, Step, StepName, Undo, UndoWork, Version, Work,
};
pub use event::{Cause, Direction, End, Event, Outcome, Token, Why};
pub use fields::{Fields, Misfit};
pub use input::{Beginning, Illegal, Input, Operator, Output};
pub use instance::{At, Goal, Instance, Progress, Status};
pub use rank::rank;
pub use shape::{Saga, StepIx, StepSet, runs};
pub use step::{start, step};

#[cfg(test)]
mod arbitrary;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
