//! The checker of sagas: explores the machine that runs them against a user's own saga, under every failure.
//!
//! What is explored is [`tenon_core::saga::step`] itself, with services that keep the barrier of
//! [`tenon_core::saga::barrier`]: every order in which calls and answers can arrive, and, up to a
//! number of faults, servers that crash, or are taken over from and go on without knowing it, answers that do not come in time, calls that arrive twice, after
//! they were given up, or not at all, and steps that cannot be undone. Refusals, signals, time-outs of signals, a
//! cancellation, the deadline, and one decision about a step that waits for somebody may come at any moment and count as no fault.
//!
//! Life cycle: [`verify`] makes the saga small where that changes nothing (budgets of tries, waits), explores breadth first, and so
//! finds a shortest schedule that breaks something, if there is one. If there are more states than the budget in states has,
//! random walks follow, and the verdict says how many states were seen, never that the saga was verified.
//!
//! What it can claim: with at most so many faults, and so many tries, every reachable state is right. What it cannot: that a
//! service keeps the barrier ([`Lapse`] shows what happens if it does not), and that an expression is what was meant.

mod abstraction;
mod flat;
mod judge;
mod machine;
mod model;
mod owner;
mod participant;
mod seen;
mod story;
mod walk;
mod world;

pub use participant::Lapse;
pub use story::{Line, Story, end_told, why_told};

use machine::Orchestrator;
use model::Explored;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tenon_core::saga::{End, Saga, StepName, Why};

/// How far to explore.
#[derive(Debug, Clone)]
pub struct Scope {
    /// How many faults there may be in one run.
    pub faults: u8,
    /// How many tries a step has at most, in each direction, whatever its budget: so that a budget can be spent within
    /// the faults.
    pub tries: u32,
    /// How many states to look at, each once, before random walks take over.
    pub states: usize,
    /// How many random walks there are then.
    pub walks: u32,
    /// What the random walks follow from.
    pub seed: u64,
    /// How many threads look.
    pub threads: usize,
    /// Steps whose service does not keep the barrier, and how.
    pub lapses: BTreeMap<StepName, Lapse>,
}

impl Default for Scope {
    /// Two faults, two tries, and four million states.
    fn default() -> Self {
        Self {
            faults: 2,
            tries: 2,
            states: 4_000_000,
            walks: 20_000,
            seed: 0,
            threads: 2,
            lapses: BTreeMap::new(),
        }
    }
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Report {
    /// Whether it holds.
    pub verdict: Verdict,
    /// How many different states were looked at.
    pub states: usize,
    /// The longest schedule that was looked at.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// How the saga can end, if nobody leaves a step out.
    pub ends: BTreeSet<End>,
    /// Where it can come to wait for somebody.
    pub parks: BTreeSet<(StepName, Why)>,
}

/// Whether a saga's properties hold.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// In every state that can be reached within the scope.
    Verified,
    /// In every state that was looked at; there are more.
    Bounded,
    /// They do not, and this is how.
    Broken(Box<Story>),
}

/// How far the exploration is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// States that were looked at.
    pub states: usize,
    /// Those that may be.
    pub budget: usize,
}

/// Explores a saga, and tells from time to time how far that is.
pub fn verify(saga: &Saga, scope: &Scope, progress: &mut (dyn FnMut(Progress) + Send)) -> Report {
    verify_machine(saga, scope, Orchestrator::default(), progress)
}

fn verify_machine(
    saga: &Saga,
    scope: &Scope,
    orchestrator: Orchestrator,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Report {
    let begun = Instant::now();
    let rules = world::Rules::new(abstraction::small(saga, scope.tries), scope, orchestrator);
    let mut explored = model::explore(&rules, scope, progress);
    if let Explored { broken: None, complete: false, .. } = explored {
        walk::walks(&rules, scope, &mut explored);
    }
    let verdict = match explored.broken {
        Some(schedule) => Verdict::Broken(Box::new(Story::new(&rules, &schedule, explored.shortest))),
        None if explored.complete => Verdict::Verified,
        None => Verdict::Bounded,
    };
    let (ends, parks) = rules.seen.told(&rules.saga);
    Report { verdict, states: explored.states, depth: explored.depth, took: begun.elapsed(), ends, parks }
}

#[cfg(test)]
mod tests;
