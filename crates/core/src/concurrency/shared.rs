//! One machine that many threads feed: what they see is added up in atomics, and whoever finds that the window has
//! ended takes the step, alone.

use super::{Config, State, UNIT, Window, step};
use crate::atomic::{AtomicU64, Ordering};
use crate::time::Timestamp;
use std::time::Duration;

/// A limit that many threads use and feed.
#[derive(Debug, Default)]
pub struct Shared {
    /// What holds now; 0 before the first step.
    limit: AtomicU64,
    ended: AtomicU64,
    micros: AtomicU64,
    overloaded: AtomicU64,
    peak: AtomicU64,
    /// When the present window ends, in microseconds; [`STEPPING`] while a thread takes the step.
    until: AtomicU64,
    /// The state, in parts. Read and written by the thread that takes the step.
    scaled_and_phase: AtomicU64,
    baseline: AtomicU64,
    measure_at: AtomicU64,
}

impl Shared {
    /// How many requests may be in flight now.
    pub fn limit(&self, config: &Config) -> u32 {
        match self.limit.load(Ordering::Relaxed) {
            0 => State::new(config).limit(config),
            limit => u32::try_from(limit).unwrap_or(u32::MAX).min(config.most()),
        }
    }

    /// A try has ended after `took`, with so many requests in flight. The few that end while another thread takes the
    /// step count for the one window or the other.
    pub fn record(
        &self,
        config: &Config,
        (took, overloaded): (Duration, bool),
        in_flight: u32,
        now: Timestamp,
        random: u64,
    ) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(0), Ordering::Relaxed);
        if overloaded {
            self.overloaded.fetch_add(1, Ordering::Relaxed);
        }
        if self.peak.load(Ordering::Relaxed) < u64::from(in_flight) {
            self.peak.fetch_max(u64::from(in_flight), Ordering::Relaxed);
        }
        let until = self.until.load(Ordering::Relaxed);
        let ended = until != STEPPING && now.as_micros() >= until;
        if ended && self.until.compare_exchange(until, STEPPING, Ordering::Acquire, Ordering::Relaxed).is_ok()
        {
            self.step(config, until == 0, now, random);
            let next = now.after(config.window).as_micros().min(STEPPING - 1);
            self.until.store(next, Ordering::Release);
        }
    }

    /// Takes the step for the window that has ended; the first call only begins one.
    fn step(&self, config: &Config, first: bool, now: Timestamp, random: u64) {
        if first {
            let state = State::new(config);
            self.store(&State { measure_at: now.after(config.measure_every), ..state }, config);
            return;
        }
        // A window with too few to tell goes on.
        if self.ended.load(Ordering::Relaxed) < FEWEST {
            return;
        }
        let window = Window {
            ended: taken(&self.ended),
            micros: self.micros.swap(0, Ordering::Relaxed),
            overloaded: taken(&self.overloaded),
            peak: taken(&self.peak),
        };
        self.store(&step(self.load(), config, &window, now, random), config);
    }

    fn load(&self) -> State {
        let word = self.scaled_and_phase.load(Ordering::Relaxed);
        State {
            scaled: (word >> 2) as u32,
            baseline: self.baseline.load(Ordering::Relaxed),
            phase: match word & 3 {
                0 => super::Phase::Steady,
                1 => super::Phase::Draining,
                _ => super::Phase::Measuring,
            },
            measure_at: Timestamp::from_micros(self.measure_at.load(Ordering::Relaxed)),
        }
    }

    fn store(&self, state: &State, config: &Config) {
        let word = u64::from(state.scaled.max(UNIT)) << 2 | state.phase as u64;
        self.scaled_and_phase.store(word, Ordering::Relaxed);
        self.baseline.store(state.baseline, Ordering::Relaxed);
        self.measure_at.store(state.measure_at.as_micros(), Ordering::Relaxed);
        self.limit.store(u64::from(state.limit(config)), Ordering::Relaxed);
    }
}

const STEPPING: u64 = u64::MAX;
/// How many tries must have ended for a window to say something.
const FEWEST: u64 = 10;

/// What has been counted, which begins again.
fn taken(count: &AtomicU64) -> u32 {
    u32::try_from(count.swap(0, Ordering::Relaxed)).unwrap_or(u32::MAX)
}

#[cfg(all(test, feature = "loom"))]
mod loom;
