//! Load balancing: which of a service's endpoints gets the next request.
//!
//! Life cycle: a [`Balancer`] belongs to one service and one thread and lives as long as the service; the
//! endpoints are given with each pick, because they, their weights and their load change underneath. It
//! remembers positions in that list only, so when the list changes, fairness begins afresh and nothing breaks.
//!
//! Under every strategy an endpoint that is skipped (unavailable, or tried already) or has weight 0 is not
//! chosen. A pick walks the list a fixed number of times and allocates nothing.
//!
//! Left out on purpose: consistent hashing, and which endpoints are healthy.

use std::fmt;

/// How an endpoint is chosen.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strategy {
    /// Each in turn. Weights other than 0 are ignored.
    #[default]
    RoundRobin,
    /// In proportion to weights, spread evenly rather than in bursts (the smooth form of nginx,
    /// `ngx_http_upstream_round_robin.c`).
    WeightedRoundRobin,
    /// The one with the fewest requests in flight for its weight; ties take turns.
    LeastConnections,
    /// Any, with equal chances. Weights other than 0 are ignored.
    Random,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 4] =
        [Self::RoundRobin, Self::WeightedRoundRobin, Self::LeastConnections, Self::Random];

    /// Its name in a manifest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::WeightedRoundRobin => "weighted-round-robin",
            Self::LeastConnections => "least-connections",
            Self::Random => "random",
        }
    }

    /// The strategy of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strategy| strategy.as_str() == text)
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a pick looks at.
pub trait Candidate {
    /// Its share of the traffic against the others'; 0 for none.
    fn weight(&self) -> u32;
    /// Its requests in flight.
    fn in_flight(&self) -> u64;
}

/// Chooses among a service's endpoints. Holds all that a choice depends on besides its arguments.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Balancer {
    /// Where the next turn begins.
    cursor: usize,
    /// Smooth weighted round robin: what each position is owed. They sum to 0 between picks while weights
    /// and list stay the same.
    owed: Vec<i64>,
}

impl Balancer {
    /// A balancer for a service.
    pub fn new() -> Self {
        Self::default()
    }

    /// The index of the endpoint that gets the next request, or `None` if there is none to choose. `skip`
    /// says of an index that it must not be chosen; `random` counts for [`Strategy::Random`] only.
    pub fn pick<C: Candidate>(
        &mut self,
        strategy: Strategy,
        candidates: &[C],
        skip: impl Fn(usize) -> bool,
        random: u64,
    ) -> Option<usize> {
        let eligible = |index: usize| candidates.get(index).is_some_and(|it| it.weight() > 0) && !skip(index);
        match strategy {
            Strategy::RoundRobin => self.next_in_turn(candidates.len(), eligible),
            Strategy::WeightedRoundRobin => self.smooth(candidates, eligible),
            Strategy::LeastConnections => self.least_loaded(candidates, eligible),
            Strategy::Random => any(candidates.len(), eligible, random),
        }
    }

    fn next_in_turn(&mut self, count: usize, eligible: impl Fn(usize) -> bool) -> Option<usize> {
        let chosen = from(self.cursor, count).find(|index| eligible(*index))?;
        self.cursor = chosen + 1;
        Some(chosen)
    }

    /// Everyone who may be chosen is credited its weight; whoever is owed most is chosen and pays the total.
    fn smooth<C: Candidate>(&mut self, candidates: &[C], eligible: impl Fn(usize) -> bool) -> Option<usize> {
        if self.owed.len() != candidates.len() {
            self.owed.clear();
            self.owed.resize(candidates.len(), 0);
        }
        let mut total = 0;
        let mut best: Option<(usize, i64)> = None;
        for (index, (candidate, owed)) in candidates.iter().zip(&mut self.owed).enumerate() {
            if !eligible(index) {
                continue;
            }
            let weight = i64::from(candidate.weight());
            total += weight;
            *owed = owed.saturating_add(weight);
            if best.is_none_or(|(_, most)| *owed > most) {
                best = Some((index, *owed));
            }
        }
        let (chosen, _) = best?;
        if let Some(owed) = self.owed.get_mut(chosen) {
            *owed = owed.saturating_sub(total);
        }
        Some(chosen)
    }

    fn least_loaded<C: Candidate>(
        &mut self,
        candidates: &[C],
        eligible: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mut best: Option<(usize, &C)> = None;
        for index in from(self.cursor, candidates.len()).filter(|index| eligible(*index)) {
            let Some(candidate) = candidates.get(index) else { continue };
            if best.is_none_or(|(_, least)| is_less_loaded(candidate, least)) {
                best = Some((index, candidate));
            }
        }
        let (chosen, _) = best?;
        self.cursor = chosen + 1;
        Some(chosen)
    }
}

/// Whether `a` has fewer requests in flight for its weight than `b`. Compared as fractions, exactly.
fn is_less_loaded<C: Candidate>(a: &C, b: &C) -> bool {
    let load = |of: &C, against: &C| u128::from(of.in_flight()) * u128::from(against.weight());
    load(a, b) < load(b, a)
}

/// Every index once, from `cursor` on and around.
fn from(cursor: usize, count: usize) -> impl Iterator<Item = usize> {
    let start = if cursor < count { cursor } else { 0 };
    (start..count).chain(0..start)
}

fn any(count: usize, eligible: impl Fn(usize) -> bool, random: u64) -> Option<usize> {
    let chances = (0..count).filter(|index| eligible(*index)).count();
    // `random * chances / 2^64` is below `chances`, and fits.
    let rank = (u128::from(random) * chances as u128) >> 64;
    (0..count).filter(|index| eligible(*index)).nth(rank as usize)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
