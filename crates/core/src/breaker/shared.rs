//! A breaker that many threads use at once.

mod recent;

use self::recent::Recent;
use super::{
    Answer, CLOSED, Config, Counts, Generation, Input, Mode, Outcome, Output, Refused, State, TAG_SHIFT,
    Transition, Window, step,
};
use crate::atomic::{self, AtomicU64, Ordering};
use crate::time::Timestamp;

/// A breaker in one atomic word, and those of its window. Asking a closed breaker is one load; a breaker that looks at
/// failures in a row is not written to while calls succeed.
///
/// Call order: [`admit`](Self::admit); if it gives a [`Permit`], exactly one of [`record`](Self::record) and
/// [`abandon`](Self::abandon) with it. The configuration is given with every call, so that it may change
/// while calls are in flight; its window must be the one that the breaker was made for, or nothing opens it. All times of one
/// breaker must be of one clock that does not go back.
#[derive(Debug, Default)]
pub struct Shared {
    word: AtomicU64,
    recent: Recent,
}

/// Leave for one call. Not to be cloned: each call reports once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit is given back with `record` or `abandon`"]
pub struct Permit(pub(super) Generation);

impl Shared {
    /// A closed breaker that looks at failures in a row.
    pub fn new() -> Self {
        Self::with(Window::Consecutive)
    }

    /// A closed breaker with this window.
    pub fn with(window: Window) -> Self {
        Self { word: AtomicU64::new(State::default().pack()), recent: Recent::new(window) }
    }

    /// Whether it was made for such a window.
    pub fn fits(&self, window: Window) -> bool {
        let clamped = match window {
            Window::Count { size } => Window::Count { size: Window::size(size) },
            other => other,
        };
        self.recent.window() == clamped
    }

    /// Where the breaker stands.
    pub fn state(&self) -> State {
        State::unpack(self.word.load(Ordering::Acquire))
    }

    /// Asks for leave to make a call, and says what state the question led to.
    ///
    /// # Errors
    /// [`Refused`] if the circuit is open; no call is to be made.
    pub fn admit(&self, config: &Config, now: Timestamp) -> Result<(Permit, Option<Transition>), Refused> {
        if config.mode == Mode::Automatic {
            let word = self.word.load(Ordering::Acquire);
            if word >> TAG_SHIFT == CLOSED {
                return Ok((Permit(State::unpack(word).generation()), None));
            }
        }
        let output = self.step(config, Input::Admit, now);
        match output.answer {
            Answer::Admitted(generation) => Ok((Permit(generation), output.transition)),
            Answer::Refused(refused) => Err(refused),
            // `step` answers `Admit` with one of the above; were it otherwise, refusing is the safe side.
            Answer::Counted | Answer::Stale => Err(Refused { retry_after: config.open_timeout }),
        }
    }

    /// Reports how a call ended, and says what that led to.
    pub fn record(&self, permit: Permit, outcome: Outcome, config: &Config, now: Timestamp) -> Output {
        let generation = permit.into_generation();
        let recent = if self.state().counts(generation, config) {
            self.recent.record(generation, outcome, now)
        } else {
            Counts::default()
        };
        self.step(config, Input::Ended(generation, outcome, recent), now)
    }

    /// Gives back the permit of a call that was dropped with no outcome, or whose outcome says nothing.
    pub fn abandon(&self, permit: Permit, config: &Config, now: Timestamp) {
        self.step(config, Input::Abandoned(permit.into_generation()), now);
    }

    fn step(&self, config: &Config, input: Input, now: Timestamp) -> Output {
        atomic::update(&self.word, |word| {
            let (next, output) = step(State::unpack(word), config, input, now);
            (next.pack(), output)
        })
    }
}

impl Permit {
    const fn into_generation(self) -> Generation {
        self.0
    }
}

#[cfg(all(test, feature = "loom"))]
mod loom;
