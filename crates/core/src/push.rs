//! What the answer of a service that was sent an event means for the event.

use std::time::Duration;

/// What is to become of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It was dealt with.
    Acked,
    /// It is to be given again: after so long, or by the back-off.
    Refused(Option<Duration>),
}

/// Judges an answer by its status, and by how long it asks to wait (`Retry-After`), which counts where the service says
/// that it has too much to do.
pub fn judge(status: u16, retry_after: Option<Duration>) -> Verdict {
    match status {
        200..=299 => Verdict::Acked,
        429 | 503 => Verdict::Refused(retry_after),
        _ => Verdict::Refused(None),
    }
}

#[cfg(test)]
mod tests;
