//! What becomes of a request, once it is known where it goes.
//!
//! Deciding that takes no time, so it is done before there is a future: what it needed is gone by then, and the future of a
//! request holds what carries it and nothing else. There is one for each request in hand, so its size counts.

use crate::body::Body;
use crate::call::{self, Target};
use crate::outgoing::Outgoing;
use crate::single;
use crate::story::Story;
use crate::worker::Worker;
use futures_util::future::{Either, LocalBoxFuture, ready};
use http::Response;
use std::rc::Rc;
use std::time::Duration;
use tenon_core::Address;

/// Where a request goes.
pub(crate) enum Course {
    /// To a service of the mesh.
    Call(Story, Target, Outgoing),
    /// To one address, for so long at most.
    Single(Story, Address, Outgoing, Duration),
    /// Elsewhere, which is rare: on the heap, so that the others keep no room for it.
    Other(LocalBoxFuture<'static, Response<Body>>),
}

impl From<Response<Body>> for Course {
    /// Nowhere: this is the answer.
    fn from(response: Response<Body>) -> Self {
        Self::Other(Box::pin(ready(response)))
    }
}

impl Course {
    /// Takes it, up to the response.
    pub(crate) fn take(self, worker: &Rc<Worker>) -> impl Future<Output = Response<Body>> + use<> {
        match self {
            Self::Call(story, target, outgoing) => {
                Either::Left(call::carry(Rc::clone(worker), story, target, outgoing))
            }
            Self::Single(story, address, outgoing, timeout) => {
                let carried = single::carry(Rc::clone(worker), story, address, outgoing, timeout);
                Either::Right(Either::Left(carried))
            }
            Self::Other(other) => Either::Right(Either::Right(other)),
        }
    }
}
