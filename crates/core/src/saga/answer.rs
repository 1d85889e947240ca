//! What the answer of a service that takes part in a saga means, over HTTP and over gRPC.

use super::event::Outcome;
use crate::error::Code;

/// What came of a call over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Whether it says when to come back (`Retry-After`).
    pub retry_after: bool,
    /// If it is not the service's own, but the mesh's: its code.
    pub of_mesh: Option<Code>,
}

/// Judges an answer: nothing if the call succeeded, or how it failed.
///
/// A refusal is final under its key, so only what a service says after it has looked at the request is one: a client
/// error other than those by which it says that it has not (408, 425, 429), or that the same request is being worked on
/// (409). What the mesh did not pass on was never sent. Of everything else nobody knows.
pub fn judge(answer: Answer) -> Result<(), Outcome> {
    if let Some(outcome) = answer.of_mesh.and_then(of_mesh) {
        return Err(outcome);
    }
    match answer.status {
        200..=299 => Ok(()),
        425 | 429 => Err(Outcome::Unsent),
        503 if answer.retry_after => Err(Outcome::Unsent),
        408 | 409 => Err(Outcome::Unknown),
        400..=499 => Err(Outcome::Refused),
        _ => Err(Outcome::Unknown),
    }
}

/// What came of a call over gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GrpcAnswer {
    /// The status; none if there is none, as when it was cut off.
    pub status: Option<u32>,
    /// Whether it says when to come back (`grpc-retry-pushback-ms`, or a `google.rpc.RetryInfo`).
    pub retry_after: bool,
    /// If it is not the service's own, but the mesh's: its code.
    pub of_mesh: Option<Code>,
}

/// The same for gRPC.
///
/// A server without the method has certainly not run it, and is perhaps being replaced by one that has it: that is not sent. What
/// servers or their libraries also say when an answer was on its way, or may be about another call that the service made itself
/// (aborted, exhausted, unavailable), says nothing, unless it comes with a time to come back at.
pub fn judge_grpc(answer: GrpcAnswer) -> Result<(), Outcome> {
    if let Some(outcome) = answer.of_mesh.and_then(of_mesh) {
        return Err(outcome);
    }
    match answer.status {
        Some(grpc::OK) => Ok(()),
        Some(grpc::UNIMPLEMENTED) => Err(Outcome::Unsent),
        Some(grpc::RESOURCE_EXHAUSTED | grpc::UNAVAILABLE) if answer.retry_after => Err(Outcome::Unsent),
        Some(
            grpc::INVALID_ARGUMENT
            | grpc::NOT_FOUND
            | grpc::ALREADY_EXISTS
            | grpc::PERMISSION_DENIED
            | grpc::FAILED_PRECONDITION
            | grpc::OUT_OF_RANGE
            | grpc::UNAUTHENTICATED,
        ) => Err(Outcome::Refused),
        _ => Err(Outcome::Unknown),
    }
}

/// What the mesh did not pass on was not sent. Any other code may be what the service itself was answered by somebody else, and
/// passes on: that says nothing of the service's own work.
fn of_mesh(code: Code) -> Option<Outcome> {
    match code {
        Code::MeshTimeout | Code::MeshNetwork => Some(Outcome::Unknown),
        _ if code.as_str().starts_with("mesh.") => Some(Outcome::Unsent),
        _ => None,
    }
}

/// The statuses of gRPC that are told apart here.
mod grpc {
    pub(super) const OK: u32 = 0;
    pub(super) const INVALID_ARGUMENT: u32 = 3;
    pub(super) const NOT_FOUND: u32 = 5;
    pub(super) const ALREADY_EXISTS: u32 = 6;
    pub(super) const PERMISSION_DENIED: u32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: u32 = 8;
    pub(super) const FAILED_PRECONDITION: u32 = 9;
    pub(super) const OUT_OF_RANGE: u32 = 11;
    pub(super) const UNIMPLEMENTED: u32 = 12;
    pub(super) const UNAVAILABLE: u32 = 14;
    pub(super) const UNAUTHENTICATED: u32 = 16;
}

#[cfg(test)]
mod tests;
