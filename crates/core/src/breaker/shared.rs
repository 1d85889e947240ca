//! A breaker that many threads use at once.

use super::{Answer, Config, Generation, Input, Output, Refused, State, Transition, step};
use crate::atomic::{self, AtomicU64, Ordering};
use crate::time::Timestamp;

/// A breaker in one atomic word. A closed breaker that sees successes only is read and never written.
///
/// Call order: [`admit`](Self::admit); if it gives a [`Permit`], exactly one of [`record`](Self::record) and
/// [`abandon`](Self::abandon) with it. The configuration is given with every call, so that it may change
/// while calls are in flight. All times of one breaker must be of one clock that does not go back.
#[derive(Debug, Default)]
pub struct Shared {
    word: AtomicU64,
}

/// Leave for one call. Not to be cloned: each call reports once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit is given back with `record` or `abandon`"]
pub struct Permit(pub(super) Generation);

impl Shared {
    /// A closed breaker.
    pub fn new() -> Self {
        Self { word: AtomicU64::new(State::default().pack()) }
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
        let output = self.step(config, Input::Admit, now);
        match output.answer {
            Answer::Admitted(generation) => Ok((Permit(generation), output.transition)),
            Answer::Refused(refused) => Err(refused),
            // `step` answers `Admit` with one of the above; were it otherwise, refusing is the safe side.
            Answer::Counted | Answer::Stale => Err(Refused { retry_after: config.open_timeout }),
        }
    }

    /// Reports how a call ended.
    pub fn record(
        &self,
        permit: Permit,
        succeeded: bool,
        config: &Config,
        now: Timestamp,
    ) -> Option<Transition> {
        let generation = permit.into_generation();
        let input = if succeeded { Input::Succeeded(generation) } else { Input::Failed(generation) };
        self.step(config, input, now).transition
    }

    /// Gives back the permit of a call that was dropped with no outcome.
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
