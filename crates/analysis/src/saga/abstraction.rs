//! A saga made small, where that changes nothing about which states there are.

use std::time::Duration;
use tenon_core::retry::{Backoff, Delay, Jitter};
use tenon_core::saga::{Definition, Retry, Saga, Undo, UndoWork, Work};

/// Longer than any wait below: that an answer does not come in time is a choice of the network, not of the clock.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// Longer than all waits of a saga for signals and times.
const DEADLINE: Duration = Duration::from_secs(1);

/// The same saga with fewer tries, no waits between them, and waits for signals and times that differ by their order only.
/// Its deadline comes after them, and before, at or after anything else.
pub(super) fn small(saga: &Saga, tries: u32) -> Saga {
    let mut definition = saga.definition().clone();
    for (number, step) in (1..).zip(&mut definition.steps) {
        step.retry = fewer(step.retry, tries);
        match &mut step.work {
            Work::Call { timeout, .. } => *timeout = NEVER,
            Work::Signal { timeout: Some(timeout), .. } | Work::Timer(timeout) => {
                *timeout = Duration::from_millis(number);
            }
            Work::Signal { timeout: None, .. } | Work::Child(_) => {}
        }
        if let Some(Undo { work, retry, .. }) = &mut step.undo {
            *retry = fewer(*retry, tries);
            if let UndoWork::Call { timeout, .. } = work {
                *timeout = NEVER;
            }
        }
    }
    let deadline = definition.deadline.map(|_| DEADLINE);
    Saga::new(Definition { deadline, ..definition }).unwrap_or_else(|_| saga.clone())
}

fn fewer(retry: Retry, tries: u32) -> Retry {
    let delay = Delay::Fixed(Duration::ZERO);
    Retry {
        tries: retry.tries.min(tries.max(1)),
        backoff: Backoff { delay, jitter: Jitter::None, max_delay: Duration::ZERO },
    }
}
