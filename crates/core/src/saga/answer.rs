//! What the answer of a service that takes part in a saga means.

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
pub const fn judge(answer: Answer) -> Result<(), Outcome> {
    if let Some(code) = answer.of_mesh {
        return Err(match code {
            Code::MeshTimeout | Code::MeshNetwork => Outcome::Unknown,
            _ => Outcome::Unsent,
        });
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

#[cfg(test)]
mod tests;
