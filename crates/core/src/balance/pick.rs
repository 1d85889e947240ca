//! The choice itself.

use super::hash::{Draw, Key};
use super::{Candidate, Config, FULL, Strategy, Table};
use crate::time::Timestamp;

/// How many turns are looked at before everyone is.
const PROBES: usize = 64;

/// How many endpoints in a row may be passed over because they have only just come; then one is taken all the same.
const PASSED_OVER: usize = 3;

/// Chooses among a service's endpoints. Holds all that a choice depends on besides its arguments.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Balancer {
    /// Whose turn is next.
    cursor: usize,
}

/// What a request brings to a choice.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// How the service is balanced.
    pub config: &'a Config,
    /// The present time.
    pub now: Timestamp,
    /// A random number.
    pub random: u64,
    /// What hashing goes by; anywhere if `None`.
    pub key: Option<Key>,
    /// All requests in flight to the service; looked at where there is a bound on load.
    pub in_flight: u64,
    /// How long the service takes to answer, in microseconds: taken for an endpoint's own time while that is not known.
    pub latency: Option<u64>,
}

impl Balancer {
    /// A balancer for a service.
    pub fn new() -> Self {
        Self::default()
    }

    /// The index of the endpoint that gets the next request, or `None` if there is none to choose. `skip` says of an index
    /// that it must not be chosen.
    pub fn pick<C: Candidate>(
        &mut self,
        table: &Table,
        candidates: &[C],
        skip: impl Fn(usize) -> bool,
        ask: &Ask<'_>,
    ) -> Option<usize> {
        let mut draw = Draw(ask.random);
        let fit = |index: usize| index < candidates.len() && !skip(index);
        if ask.config.slow_start.is_zero() || ask.config.strategy.is_hashing() {
            return self.once(table, candidates, fit, ask, &mut draw);
        }
        let mut passed_over = [usize::MAX; PASSED_OVER];
        for turn in 0..PASSED_OVER {
            let fresh = |index: usize| fit(index) && !passed_over.contains(&index);
            let Some(chosen) = self.once(table, candidates, fresh, ask, &mut draw) else { break };
            let ramp = candidates.get(chosen).map_or(FULL, |it| it.ramp(ask.now));
            if ramp >= FULL || (draw.next() >> 48) < u64::from(ramp) {
                return Some(chosen);
            }
            if let Some(place) = passed_over.get_mut(turn) {
                *place = chosen;
            }
        }
        passed_over.into_iter().find(|index| *index != usize::MAX)
    }

    fn once<C: Candidate>(
        &mut self,
        table: &Table,
        candidates: &[C],
        fit: impl Fn(usize) -> bool,
        ask: &Ask<'_>,
        draw: &mut Draw,
    ) -> Option<usize> {
        match ask.config.strategy {
            Strategy::RoundRobin | Strategy::WeightedRoundRobin => self.next_in_turn(table, fit),
            Strategy::LeastConnections => self.least_loaded(table, candidates, fit, ask.now),
            Strategy::LeastRequests | Strategy::PeakEwma => best_of_some(table, candidates, fit, ask, draw),
            Strategy::Random => any(table, fit, draw),
            Strategy::RingHash | Strategy::Maglev => hashed(table, candidates, fit, ask, draw),
        }
    }

    fn next_in_turn(&mut self, table: &Table, fit: impl Fn(usize) -> bool) -> Option<usize> {
        let turns = table.turns();
        let start = if self.cursor < turns { self.cursor } else { self.cursor.checked_rem(turns)? };
        for step in 0..turns.min(PROBES) {
            let Some(chosen) = table.at(start + step).filter(|index| fit(*index)) else { continue };
            self.cursor = start + step + 1;
            return Some(chosen);
        }
        self.cursor = start + 1;
        table.everyone(start).find(|index| fit(*index))
    }

    fn least_loaded<C: Candidate>(
        &mut self,
        table: &Table,
        candidates: &[C],
        fit: impl Fn(usize) -> bool,
        now: Timestamp,
    ) -> Option<usize> {
        let start = if self.cursor < table.len() { self.cursor } else { 0 };
        let mut best: Option<(usize, usize, Cost)> = None;
        for (step, index) in table.everyone(start).enumerate() {
            let Some(candidate) = candidates.get(index).filter(|_| fit(index)) else { continue };
            let cost = Cost::of_load(candidate, now);
            if best.is_none_or(|(_, _, least)| cost.is_less_than(least)) {
                best = Some((step, index, cost));
            }
        }
        let (step, chosen, _) = best?;
        self.cursor = (start + step + 1) % table.len().max(1);
        Some(chosen)
    }
}

/// What a request would cost at an endpoint, as a fraction.
#[derive(Clone, Copy)]
struct Cost {
    of: u128,
    weight: u32,
}

impl Cost {
    fn of_load<C: Candidate>(candidate: &C, now: Timestamp) -> Self {
        Self { of: u128::from(candidate.load(now)), weight: candidate.weight() }
    }

    fn of_latency<C: Candidate>(candidate: &C, ask: &Ask<'_>) -> Self {
        let latency = candidate.latency(ask.now).or(ask.latency).unwrap_or(1).max(1);
        // Both are far below 2^48 but for an endpoint that nobody would choose.
        let of = u128::from(latency).saturating_mul(u128::from(candidate.load(ask.now)) + 1);
        Self { of: of.min(1 << 95), weight: candidate.weight() }
    }

    /// Compared as fractions, exactly.
    fn is_less_than(self, other: Self) -> bool {
        self.of * u128::from(other.weight) < other.of * u128::from(self.weight)
    }
}

/// Draws as many as the configuration says, no two of them the same, and takes the best.
fn best_of_some<C: Candidate>(
    table: &Table,
    candidates: &[C],
    fit: impl Fn(usize) -> bool,
    ask: &Ask<'_>,
    draw: &mut Draw,
) -> Option<usize> {
    let wanted = (ask.config.choices as usize).min(table.len());
    let cost = |candidate: &C| match ask.config.strategy {
        Strategy::PeakEwma => Cost::of_latency(candidate, ask),
        _ => Cost::of_load(candidate, ask.now),
    };
    let mut drawn = [usize::MAX; *Config::CHOICES.end() as usize];
    let mut found = 0;
    let mut best: Option<(usize, Cost)> = None;
    // Draws that find nobody new are repeated, but not for ever.
    for _ in 0..16 * wanted {
        let index = table.at(draw.below(table.turns()))?;
        if drawn.contains(&index) || !fit(index) {
            continue;
        }
        let Some(candidate) = candidates.get(index) else { continue };
        let cost = cost(candidate);
        if best.is_none_or(|(_, least)| cost.is_less_than(least)) {
            best = Some((index, cost));
        }
        if let Some(place) = drawn.get_mut(found) {
            *place = index;
        }
        found += 1;
        if found == wanted {
            break;
        }
    }
    best.map(|(index, _)| index).or_else(|| table.everyone(draw.below(table.len())).find(|index| fit(*index)))
}

/// Draws until one may be chosen; if many may not, counts those who may.
fn any(table: &Table, fit: impl Fn(usize) -> bool, draw: &mut Draw) -> Option<usize> {
    for _ in 0..8 {
        let drawn = table.at(draw.below(table.turns()))?;
        if fit(drawn) {
            return Some(drawn);
        }
    }
    let chances = table.everyone(0).filter(|index| fit(*index)).count();
    table.everyone(0).filter(|index| fit(*index)).nth(draw.below(chances))
}

/// The key's own endpoint, or, if that may not be chosen, the next one in the order, which is another for each key.
fn hashed<C: Candidate>(
    table: &Table,
    candidates: &[C],
    fit: impl Fn(usize) -> bool,
    ask: &Ask<'_>,
    draw: &mut Draw,
) -> Option<usize> {
    let key = ask.key.unwrap_or_else(|| Key(draw.next()));
    let has_room = |index: usize| {
        let Some(percent) = ask.config.max_load_percent else { return true };
        candidates
            .get(index)
            .is_some_and(|it| it.load(ask.now) < most(table, it.weight(), percent, ask.in_flight))
    };
    let start = table.find(key);
    let walk = (0..table.turns().min(PROBES)).filter_map(|step| table.at(start + step));
    let mut walk = walk.filter(|index| fit(*index));
    walk.find(|index| has_room(*index)).or_else(|| table.substitute(key, fit))
}

/// The most requests in flight of an endpoint: its share of all, this one included, times the bound; at least one.
fn most(table: &Table, weight: u32, percent: u32, in_flight: u64) -> u64 {
    let all = (u128::from(in_flight) + 1) * u128::from(weight) * u128::from(percent);
    let share = all.div_ceil(u128::from(table.weight()).max(1) * 100);
    u64::try_from(share).unwrap_or(u64::MAX).max(1)
}
