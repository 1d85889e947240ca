//! The state of one instance's health and its one transition function.

use super::damping::Damping;
use super::{
    Check, Config, Failure, STALLED_INTERVAL, STARTING_GRACE, STARTING_INTERVAL, Status, Transition,
};
use crate::time::Timestamp;
use std::time::Duration;

/// What is known of one instance's health.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    status: Status,
    /// Whether it was ever healthy.
    was_healthy: bool,
    /// Answers in a row that speak against the status.
    contrary: u32,
    /// When this state was made: every time-out is counted from here at the earliest.
    began: Timestamp,
    /// When the status last changed, or when this state was made.
    since: Timestamp,
    /// When the next check is due.
    next_check: Timestamp,
    /// The last heartbeat, or when this state was made.
    last_heartbeat: Timestamp,
    /// Whether its process has ended: nothing changes any more.
    ended: bool,
    /// How often it has turned unhealthy of late.
    damping: Damping,
}

/// What happens to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// A check passed.
    Passed,
    /// A check failed.
    Failed(Failure),
    /// Its process ended.
    ProcessExited,
    /// It sent a heartbeat.
    Heartbeat,
    /// Time passed; due at [`next_tick_at`].
    Tick,
}

/// What follows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Output {
    /// The change of belief, if there was one.
    pub transition: Option<Transition>,
    /// It has been unhealthy for as long as it may: it is to be deregistered. Said with every tick until that
    /// has happened.
    pub deregister: bool,
    /// It has turned unhealthy so often that it is held back from now on.
    pub held: bool,
}

impl State {
    /// An instance as the log knows it, all its time-outs counted from now; its first check is due at once.
    pub fn new(status: Status, now: Timestamp) -> Self {
        Self {
            status,
            was_healthy: status == Status::Healthy,
            contrary: 0,
            began: now,
            since: now,
            next_check: now,
            last_heartbeat: now,
            ended: false,
            damping: Damping::default(),
        }
    }

    /// What is believed.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Whether its process has ended.
    pub fn ended(&self) -> bool {
        self.ended
    }
}

/// When the next check is due; `None` if the instance is not asked (it sends heartbeats, or has ended).
pub fn next_check_at(state: &State, config: &Config) -> Option<Timestamp> {
    let asked = !matches!(config.check, Check::Ttl { .. });
    (asked && !state.ended).then_some(state.next_check)
}

/// When time alone will change something and [`Input::Tick`] is due; `None` if it will not.
pub fn next_tick_at(state: &State, config: &Config) -> Option<Timestamp> {
    if state.ended {
        return None;
    }
    let silent = match (&config.check, state.status) {
        (Check::Ttl { ttl }, Status::Healthy | Status::Unknown) => Some(state.last_heartbeat.after(*ttl)),
        _ => None,
    };
    let given_up = match (config.deregister_after, state.status) {
        (Some(after), Status::Unhealthy) => Some(state.since.after(after)),
        _ => None,
    };
    silent.into_iter().chain(given_up).min()
}

/// The one transition function. `jitter` is a random number that spreads the checks. Total: an instance that
/// has ended stays ended.
pub fn step(state: &State, config: &Config, input: Input, now: Timestamp, jitter: u64) -> (State, Output) {
    if state.ended {
        return (state.clone(), Output::default());
    }
    let mut next = state.clone();
    let believed = next.judge(config, input, now);
    let was_held = next.damping.holds(config.damping, now);
    let transition = next.believe(believed, config, now);
    let held = !was_held && next.damping.holds(config.damping, now);
    if matches!(input, Input::Passed | Input::Failed(_)) {
        next.next_check = now.after(next.interval(config, jitter));
    }
    let deregister = next.is_given_up(config, now);
    (next, Output { transition, deregister, held })
}

impl State {
    /// What is believed after an input.
    fn judge(&mut self, config: &Config, input: Input, now: Timestamp) -> Status {
        match input {
            Input::Passed => self.passed(config, now),
            Input::Failed(_) => self.failed(config, now),
            Input::ProcessExited => {
                self.ended = true;
                Status::Unhealthy
            }
            Input::Heartbeat => {
                self.last_heartbeat = now.max(self.last_heartbeat);
                self.contrary = 0;
                if self.is_held(config, now) { Status::Unhealthy } else { Status::Healthy }
            }
            Input::Tick if self.is_silent(config, now) => Status::Unhealthy,
            Input::Tick => self.status,
        }
    }

    fn passed(&mut self, config: &Config, now: Timestamp) -> Status {
        if self.status == Status::Healthy {
            self.contrary = 0;
            return Status::Healthy;
        }
        self.contrary = self.contrary.saturating_add(1);
        let enough = if self.was_healthy { config.healthy_threshold } else { 1 };
        if self.contrary >= enough && !self.is_held(config, now) { Status::Healthy } else { self.status }
    }

    fn failed(&mut self, config: &Config, now: Timestamp) -> Status {
        match self.status {
            Status::Unhealthy => {
                self.contrary = 0;
                Status::Unhealthy
            }
            Status::Unknown if now.since(self.began) < STARTING_GRACE => Status::Unknown,
            Status::Unknown => Status::Unhealthy,
            Status::Healthy => {
                self.contrary = self.contrary.saturating_add(1);
                if self.contrary >= config.unhealthy_threshold { Status::Unhealthy } else { Status::Healthy }
            }
        }
    }

    fn is_held(&self, config: &Config, now: Timestamp) -> bool {
        self.status == Status::Unhealthy && self.damping.holds(config.damping, now)
    }

    fn believe(&mut self, to: Status, config: &Config, now: Timestamp) -> Option<Transition> {
        let from = self.status;
        if to == from {
            return None;
        }
        self.status = to;
        self.since = now;
        self.contrary = 0;
        self.was_healthy |= to == Status::Healthy;
        if (from, to) == (Status::Healthy, Status::Unhealthy) {
            self.damping = self.damping.turned(config.damping, now);
        }
        Some(Transition { from, to })
    }

    fn is_silent(&self, config: &Config, now: Timestamp) -> bool {
        matches!(config.check, Check::Ttl { ttl } if now >= self.last_heartbeat.after(ttl))
    }

    fn is_given_up(&self, config: &Config, now: Timestamp) -> bool {
        self.status == Status::Unhealthy
            && config.deregister_after.is_some_and(|after| now >= self.since.after(after))
    }

    fn interval(&self, config: &Config, jitter: u64) -> Duration {
        match (self.was_healthy, self.status) {
            (true, _) => spread(config.interval, jitter),
            (false, Status::Unknown) => STARTING_INTERVAL,
            (false, _) => spread(STALLED_INTERVAL.min(config.interval), jitter),
        }
    }
}

/// The span, give or take a tenth.
fn spread(span: Duration, jitter: u64) -> Duration {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    let fifth = micros / 5;
    // `jitter * fifth / 2^64` is below `fifth`, and fits.
    let part = ((u128::from(jitter) * u128::from(fifth)) >> 64) as u64;
    Duration::from_micros((micros - fifth / 2).saturating_add(part))
}
