//! How long a request may still take, over hops and retries.
//!
//! A request's deadline is the earliest of what its caller gave it and what this hop allows. It is fixed once,
//! when the request arrives; what remains of it is told to the next hop in a header, so that time spent here
//! is not available there. Nothing ever makes a deadline later.
//!
//! Two headers carry it: [`GRPC_HEADER`] in the form of the gRPC specification (`grpc/grpc`
//! `doc/PROTOCOL-HTTP2.md`), and [`HEADER`] in milliseconds for everything else.

use crate::time::Timestamp;
use std::fmt;
use std::time::Duration;

/// The header of every request in the mesh that has a deadline: whole milliseconds that remain, decimal.
pub const HEADER: &str = "tenon-timeout-ms";

/// The header of gRPC requests that have a deadline.
pub const GRPC_HEADER: &str = "grpc-timeout";

/// A moment by which a request must be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(Timestamp);

impl Deadline {
    /// The deadline of a request that arrives now with these time-outs: its own hop's, and what headers say.
    /// The shortest counts; none at all means that there is no deadline.
    pub fn earliest(now: Timestamp, timeouts: impl IntoIterator<Item = Option<Duration>>) -> Option<Self> {
        timeouts.into_iter().flatten().min().map(|timeout| Self(now.after(timeout)))
    }

    /// The moment.
    pub const fn at(self) -> Timestamp {
        self.0
    }

    /// How long there is still; zero if the deadline has passed.
    pub const fn remaining(self, now: Timestamp) -> Duration {
        self.0.since(now)
    }

    /// Whether nothing remains.
    pub fn has_passed(self, now: Timestamp) -> bool {
        now >= self.0
    }

    /// How long one try may take: what remains, and no more than `per_try`.
    pub fn for_try(self, per_try: Option<Duration>, now: Timestamp) -> Duration {
        let remaining = self.remaining(now);
        per_try.map_or(remaining, |most| most.min(remaining))
    }
}

/// Why a header is not a time-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not {expected}")]
pub struct InvalidTimeout {
    /// The form that is expected.
    pub expected: &'static str,
}

/// The value of [`GRPC_HEADER`]: at most 8 digits and a unit `H`, `M`, `S`, `m`, `u` or `n`.
///
/// Written in the finest unit that fits, rounded down, and capped at 99999999 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrpcTimeout(pub Duration);

impl fmt::Display for GrpcTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let (unit, size) = GRPC_UNITS
            .into_iter()
            .find(|(_, size)| nanos / size <= GRPC_MOST)
            .unwrap_or((b'H', NANOS_PER_HOUR));
        write!(f, "{}{}", (nanos / size).min(GRPC_MOST), char::from(unit))
    }
}

impl std::str::FromStr for GrpcTimeout {
    type Err = InvalidTimeout;

    /// Reads the header. Zero is accepted, as other implementations do: it has run out.
    fn from_str(text: &str) -> Result<Self, InvalidTimeout> {
        let invalid = InvalidTimeout { expected: "1 to 8 digits and a unit H, M, S, m, u or n" };
        let (unit, digits) = text.as_bytes().split_last().ok_or(invalid)?;
        let (_, size) = GRPC_UNITS.into_iter().find(|(known, _)| known == unit).ok_or(invalid)?;
        if digits.len() > 8 {
            return Err(invalid);
        }
        Ok(Self(from_nanos(u128::from(decimal(digits).ok_or(invalid)?) * size)))
    }
}

/// The value of [`HEADER`]: 1 to 12 digits, milliseconds.
///
/// Written rounded down, so that a hop never gets more time than its caller has; zero has run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MillisTimeout(pub Duration);

impl MillisTimeout {
    /// The number that stands in the header.
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).map_or(MILLIS_MOST, |millis| millis.min(MILLIS_MOST))
    }
}

impl fmt::Display for MillisTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_millis().fmt(f)
    }
}

impl std::str::FromStr for MillisTimeout {
    type Err = InvalidTimeout;
    fn from_str(text: &str) -> Result<Self, InvalidTimeout> {
        let invalid = InvalidTimeout { expected: "1 to 12 digits, milliseconds" };
        if text.len() > 12 {
            return Err(invalid);
        }
        decimal(text.as_bytes()).map(|millis| Self(Duration::from_millis(millis))).ok_or(invalid)
    }
}

const MILLIS_MOST: u64 = 999_999_999_999;
const GRPC_MOST: u128 = 99_999_999;
const NANOS_PER_HOUR: u128 = 3_600_000_000_000;

/// From fine to coarse: the unit's letter and its nanoseconds.
const GRPC_UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', NANOS_PER_HOUR),
];

/// The number that at most 12 digits stand for.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

fn from_nanos(nanos: u128) -> Duration {
    let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
    Duration::new(seconds, (nanos % 1_000_000_000) as u32)
}

#[cfg(test)]
mod tests;
