//! Which traces are kept: decided once at the head of a trace, by its id, so that every hop that decides anew comes to
//! the same; and again at the end of each hop, for what must be seen whatever the head said.
//!
//! The head's rule is OpenTelemetry's consistent probability sampling: the last 56 bits of a trace id, which W3C trace
//! context level 2 wants random, against a threshold. A smaller ratio keeps a subset of what a larger one keeps.

use crate::manifest::Ratio;
use std::time::Duration;

/// The bits of a trace id that are random.
const RANDOM: u64 = (1 << 56) - 1;

/// Whether a trace is kept, as far as its head can say. `parent` is what the caller has decided, which holds.
pub fn head(trace: u128, parent: Option<bool>, ratio: Ratio) -> bool {
    parent.unwrap_or_else(|| randomness(trace) < threshold(ratio))
}

/// Whether a hop is kept though the head said no: it failed, or took long.
pub fn tail(failed: bool, took: Duration, slow: Duration) -> bool {
    failed || took >= slow
}

fn randomness(trace: u128) -> u64 {
    // The lower half, of which 56 bits count.
    (trace & u128::from(RANDOM)) as u64
}

/// What stays below this is kept: so many of 2⁵⁶.
fn threshold(ratio: Ratio) -> u64 {
    (u128::from(ratio.millionths()) * (1 << 56) / 1_000_000) as u64
}

#[cfg(test)]
mod tests;
