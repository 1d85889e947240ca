//! What came of sending a service an event, and what that means for the event.

use crate::error::Code;
use std::time::Duration;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Somebody answered.
    Answered(Answer),
    /// Nobody was there to send it to.
    NotSent,
    /// It was sent, and no answer came.
    NoAnswer,
}

/// What a service, or whoever stands before it, answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Answer {
    /// The status.
    pub status: Status,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
    /// Why the mesh refused, if it says that it did.
    pub refused: Option<Code>,
}

/// How an answer says whether all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// HTTP.
    Http(u16),
    /// gRPC.
    Grpc(u32),
}

/// What is to become of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It was dealt with.
    Acked,
    /// It is to be given again: after so long, or by the back-off.
    Refused(Option<Duration>),
    /// The service never saw it, because it is out: it is to be given again, and does not count.
    Unreached(Option<Duration>),
}

/// Judges what came of sending an event. How long an answer asks to wait counts where it says that there is too much to do.
///
/// What the mesh answers while a service is out is no delivery. What it refuses for good (a policy, an identity) is one, so
/// that the event is parked and somebody sees it; so is a connection that broke, because it may be the event that broke it.
pub fn judge(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::NotSent => Verdict::Unreached(None),
        Outcome::NoAnswer => Verdict::Refused(None),
        Outcome::Answered(Answer { refused: Some(code), retry_after, .. }) if is_outage(code) => {
            Verdict::Unreached(retry_after)
        }
        Outcome::Answered(Answer { status, retry_after, .. }) => match status {
            Status::Http(200..=299) | Status::Grpc(OK) => Verdict::Acked,
            Status::Http(429 | 503) | Status::Grpc(RESOURCE_EXHAUSTED | UNAVAILABLE) => {
                Verdict::Refused(retry_after)
            }
            Status::Http(_) | Status::Grpc(_) => Verdict::Refused(None),
        },
    }
}

const OK: u32 = 0;
const RESOURCE_EXHAUSTED: u32 = 8;
const UNAVAILABLE: u32 = 14;

/// Whether the mesh refused because the service is out, or may not be asked now.
fn is_outage(code: Code) -> bool {
    matches!(
        code,
        Code::MeshServiceUnavailable
            | Code::MeshUnreachable
            | Code::MeshCircuitOpen
            | Code::MeshOverloaded
            | Code::MeshRateLimited
            | Code::MeshNotReady
            | Code::MeshServiceNotFound
    )
}

#[cfg(test)]
mod tests;
