//! Steps as typed constants, which whoever defines a saga shares with whoever takes part in it.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;
use tenon_core::saga::{OnUndoFailure, Retry};

/// How long an answer is waited for, unless a step says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a step calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    pub(super) service: &'static str,
    pub(super) call: Method,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Http { method: &'static str, path: &'static str },
    Grpc(&'static str),
}

/// A call over HTTP of a service, by its name or as `name.namespace`. A path's variables, `{name}`, are fields of the input.
pub const fn http(method: &'static str, service: &'static str, path: &'static str) -> Target {
    Target { service, call: Method::Http { method, path } }
}

/// A call with the method POST.
pub const fn post(service: &'static str, path: &'static str) -> Target {
    http("POST", service, path)
}

/// A call with the method PUT.
pub const fn put(service: &'static str, path: &'static str) -> Target {
    http("PUT", service, path)
}

/// A call with the method DELETE.
pub const fn delete(service: &'static str, path: &'static str) -> Target {
    http("DELETE", service, path)
}

/// A call with the method GET, whose input is in the query.
pub const fn get(service: &'static str, path: &'static str) -> Target {
    http("GET", service, path)
}

/// A call over gRPC: `package.Service/Method`.
pub const fn grpc(service: &'static str, method: &'static str) -> Target {
    Target { service, call: Method::Grpc(method) }
}

/// What is common to all steps that call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calling {
    pub(super) name: &'static str,
    pub(super) target: Target,
    pub(super) timeout: Duration,
    pub(super) retry: Option<Retry>,
}

impl Calling {
    const fn new(name: &'static str, target: Target) -> Self {
        Self { name, target, timeout: TIMEOUT, retry: None }
    }
}

/// What undoes a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Undone {
    pub(super) target: Target,
    pub(super) timeout: Duration,
    pub(super) retry: Option<Retry>,
    pub(super) on_failure: OnUndoFailure,
}

/// A step that can be undone, and so has what undoes it. Only before the pivot.
///
/// What undoes it is sent [`Undoing`](super::Undoing): what the step was given, and what it answered, if that is
/// known. A variable of its path is the field of the input of that name, or else that of the output; while that is not
/// known, the saga's id stands in its place.
pub struct Compensatable<I, O> {
    pub(super) calling: Calling,
    pub(super) undo: Option<Undone>,
    of: PhantomData<fn(I) -> O>,
}

/// The point of no return: it cannot be undone, and once it is done the saga only goes forward.
pub struct Pivot<I, O> {
    pub(super) calling: Calling,
    of: PhantomData<fn(I) -> O>,
}

/// A step that is tried until it is done. Only behind the pivot.
pub struct Retriable<I, O> {
    pub(super) calling: Calling,
    of: PhantomData<fn(I) -> O>,
}

/// Another saga as a step, which is reverted where the step is undone. Only before the pivot.
pub struct Child<I, O> {
    pub(super) name: &'static str,
    pub(super) saga: &'static str,
    pub(super) retry: Option<Retry>,
    pub(super) on_failure: OnUndoFailure,
    of: PhantomData<fn(I) -> O>,
}

/// An event from outside that a saga waits for, with what it brings.
pub struct Signal<T> {
    pub(super) name: &'static str,
    of: PhantomData<fn() -> T>,
}

impl<I, O> Compensatable<I, O> {
    /// A step of this name, what it calls, and what undoes that.
    pub const fn new(name: &'static str, call: Target, undo: Target) -> Self {
        let undo = Undone { target: undo, timeout: TIMEOUT, retry: None, on_failure: OnUndoFailure::Park };
        Self { calling: Calling::new(name, call), undo: Some(undo), of: PhantomData }
    }

    /// A step that only looks, so that there is nothing to undo.
    pub const fn reads(name: &'static str, call: Target) -> Self {
        Self { calling: Calling::new(name, call), undo: None, of: PhantomData }
    }

    /// How often and how soon undoing is tried.
    #[must_use]
    pub const fn undo_retry(mut self, retry: Retry) -> Self {
        if let Some(undo) = &mut self.undo {
            undo.retry = Some(retry);
        }
        self
    }

    /// How long the answer of what undoes it is waited for.
    #[must_use]
    pub const fn undo_timeout(mut self, timeout: Duration) -> Self {
        if let Some(undo) = &mut self.undo {
            undo.timeout = timeout;
        }
        self
    }

    /// What happens when it cannot be undone.
    #[must_use]
    pub const fn on_undo_failure(mut self, what: OnUndoFailure) -> Self {
        if let Some(undo) = &mut self.undo {
            undo.on_failure = what;
        }
        self
    }
}

impl<I, O> Pivot<I, O> {
    /// A step of this name, and what it calls.
    pub const fn new(name: &'static str, call: Target) -> Self {
        Self { calling: Calling::new(name, call), of: PhantomData }
    }
}

impl<I, O> Retriable<I, O> {
    /// A step of this name, and what it calls.
    pub const fn new(name: &'static str, call: Target) -> Self {
        Self { calling: Calling::new(name, call), of: PhantomData }
    }
}

impl<I, O> Child<I, O> {
    /// A step of this name, and the saga that it runs.
    pub const fn new(name: &'static str, saga: &'static str) -> Self {
        Self { name, saga, retry: None, on_failure: OnUndoFailure::Park, of: PhantomData }
    }

    /// How often and how soon starting it is tried.
    #[must_use]
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// What happens when it cannot be reverted.
    #[must_use]
    pub const fn on_undo_failure(mut self, what: OnUndoFailure) -> Self {
        self.on_failure = what;
        self
    }
}

impl<T> Signal<T> {
    /// A signal of this name, which is its step's name too.
    pub const fn new(name: &'static str) -> Self {
        Self { name, of: PhantomData }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

macro_rules! calling {
    ($($step:ident),*) => {$(
        impl<I, O> $step<I, O> {
            /// The same under another name, for a saga that takes it twice.
            #[must_use]
            pub const fn named(mut self, name: &'static str) -> Self {
                self.calling.name = name;
                self
            }

            /// How long the answer is waited for; 10 s unless stated. What comes later is not known to have been done.
            #[must_use]
            pub const fn timeout(mut self, timeout: Duration) -> Self {
                self.calling.timeout = timeout;
                self
            }

            /// How often and how soon it is tried.
            #[must_use]
            pub const fn retry(mut self, retry: Retry) -> Self {
                self.calling.retry = Some(retry);
                self
            }

            /// Its name.
            pub const fn name(&self) -> &'static str {
                self.calling.name
            }
        }

        copied!($step<I, O>, calling);
    )*};
}

macro_rules! copied {
    ($step:ident<$($of:ident),*>, $shown:ident) => {
        impl<$($of),*> Copy for $step<$($of),*> {}

        impl<$($of),*> Clone for $step<$($of),*> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<$($of),*> fmt::Debug for $step<$($of),*> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($step)).field(&self.$shown).finish()
            }
        }
    };
}

calling!(Compensatable, Pivot, Retriable);
copied!(Child<I, O>, name);
copied!(Signal<T>, name);
