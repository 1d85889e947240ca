//! Instances that many threads watch at once.

use super::{Config, Input, Observation, Output, Reason, State, compare, step};
use crate::atomic::{self, AtomicU64, Ordering};
use crate::time::Timestamp;
use std::time::Duration;

/// What is known of one instance. One that succeeds is read, and written to only as far as it is compared with others.
#[derive(Debug, Default)]
pub struct Shared {
    word: AtomicU64,
    /// Attempts that ended in this interval, and those of them that failed, in one word.
    calls: AtomicU64,
    /// How long they took. A comparison may find a call in one of the two and not in the other; it looks at many.
    micros: AtomicU64,
}

impl Shared {
    /// An instance that nothing is known of.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        State::unpack(self.word.load(Ordering::Acquire))
    }

    /// Whether it is out.
    pub fn is_ejected(&self, now: Timestamp) -> bool {
        self.state().is_ejected(now)
    }

    /// An attempt ended as it should, after so long.
    pub fn succeeded(&self, config: &Config, took: Duration, now: Timestamp) {
        self.step(config, Input::Succeeded, now);
        self.observe(config, false, took);
    }

    /// An attempt failed after so long. Why the instance is to be ejected, if it is and the service can spare it.
    pub fn failed(&self, config: &Config, connected: bool, took: Duration, now: Timestamp) -> Option<Reason> {
        self.observe(config, true, took);
        match self.step(config, Input::Failed { connected }, now) {
            Output::Suspect(reason) => Some(reason),
            Output::Noted | Output::Ejected | Output::Reinstated => None,
        }
    }

    fn observe(&self, config: &Config, failed: bool, took: Duration) {
        if config.success_rate.is_some() || config.latency.is_some() {
            self.calls.fetch_add(CALL | u64::from(failed), Ordering::AcqRel);
        }
        if config.latency.is_some() {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).min(LONGEST);
            self.micros.fetch_add(micros, Ordering::AcqRel);
        }
    }

    /// What it did in the interval that ends with this.
    pub(super) fn take(&self) -> Observation {
        let calls = self.calls.swap(0, Ordering::AcqRel);
        let micros = self.micros.swap(0, Ordering::AcqRel);
        Observation { calls: (calls >> CALL_SHIFT) as u32, failures: calls as u32, micros }
    }

    fn step(&self, config: &Config, input: Input, now: Timestamp) -> Output {
        atomic::update(&self.word, |word| {
            let (next, output) = step(State::unpack(word), config, input, now);
            (next.pack(), output)
        })
    }
}

const CALL_SHIFT: u32 = 32;
const CALL: u64 = 1 << CALL_SHIFT;
/// An hour: four million such calls fit into an interval.
const LONGEST: u64 = 3_600_000_000;

/// Ejects one of a service's instances if the service can spare it; whether it did. `all` are the instances of the service
/// that get calls.
pub fn eject<'a>(
    all: &(impl Iterator<Item = &'a Shared> + Clone),
    suspect: &Shared,
    config: &Config,
    now: Timestamp,
) -> bool {
    let fits = |added: usize| {
        let (count, out) = tally(all.clone(), now);
        out + added <= config.most(count)
    };
    if !fits(1) || suspect.step(config, Input::Eject, now) != Output::Ejected {
        return false;
    }
    // Another thread may have seen the same room. Whoever looks second sees both, and takes its own back.
    atomic::fence(Ordering::SeqCst);
    if fits(0) {
        return true;
    }
    suspect.step(config, Input::Reinstate, now);
    false
}

/// What a comparison led to, by the indices of the instances.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Round {
    /// Who was ejected and why.
    pub ejected: Vec<(usize, Reason)>,
    /// Who is in again before its time, because fewer instances are left.
    pub reinstated: Vec<usize>,
}

impl Round {
    /// Ends an interval: compares what the instances did in it, and lets what they did before fade. To be called by one
    /// thread, every [`Config::interval`].
    pub fn end(all: &[&Shared], config: &Config, now: Timestamp) -> Self {
        let mut round = Self { reinstated: reinstate(all, config, now), ..Self::default() };
        let observations: Vec<_> = all.iter().map(|it| it.take()).collect();
        for instance in all {
            instance.step(config, Input::Interval, now);
        }
        for (index, reason) in compare(config, &observations) {
            let suspect = all.get(index).filter(|it| eject(&all.iter().copied(), it, config, now));
            round.ejected.extend(suspect.map(|_| (index, reason)));
        }
        round
    }
}

/// Takes back in who would be in first, until no more are out than may be.
fn reinstate(all: &[&Shared], config: &Config, now: Timestamp) -> Vec<usize> {
    let mut out: Vec<_> = all.iter().enumerate().filter(|(_, it)| it.is_ejected(now)).collect();
    out.sort_by_key(|(index, it)| (it.state().until(), *index));
    let too_many = out.len().saturating_sub(config.most(all.len()));
    let taken = out.into_iter().take(too_many);
    taken
        .filter(|(_, it)| it.step(config, Input::Reinstate, now) == Output::Reinstated)
        .map(|(index, _)| index)
        .collect()
}

fn tally<'a>(all: impl Iterator<Item = &'a Shared>, now: Timestamp) -> (usize, usize) {
    all.fold((0, 0), |(count, out), it| (count + 1, out + usize::from(it.is_ejected(now))))
}
