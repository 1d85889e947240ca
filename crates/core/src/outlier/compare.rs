//! Which instances of a service stand out from the others. Integers only: rates are parts of 100,000.

use super::{Config, Latency, Reason, SuccessRate};

/// What an instance did in an interval.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Observation {
    /// Attempts that have ended.
    pub calls: u32,
    /// Those of them that failed.
    pub failures: u32,
    /// How long all of them took together.
    pub micros: u64,
}

impl Observation {
    const WHOLE: u64 = 100_000;

    fn success_rate(&self) -> u64 {
        let succeeded = u64::from(self.calls.saturating_sub(self.failures));
        succeeded * Self::WHOLE / u64::from(self.calls.max(1))
    }

    fn mean_micros(&self) -> u64 {
        self.micros / u64::from(self.calls.max(1))
    }
}

/// The instances that are suspect, by their index, each once: those that fail before those that are slow, and of each
/// the worst first.
pub fn compare(config: &Config, observations: &[Observation]) -> Vec<(usize, Reason)> {
    let mut suspects = Vec::new();
    if let Some(rule) = config.success_rate {
        let failing = failing(rule, observations).into_iter();
        suspects.extend(failing.map(|index| (index, Reason::SuccessRate)));
    }
    if let Some(rule) = config.latency {
        for index in slow(rule, observations) {
            if !suspects.iter().any(|(known, _)| *known == index) {
                suspects.push((index, Reason::Latency));
            }
        }
    }
    suspects
}

/// Those whose success rate is below the mean by so many standard deviations, the lowest first.
fn failing(rule: SuccessRate, observations: &[Observation]) -> Vec<usize> {
    let mut rates = measured(observations, rule.minimum_calls, Observation::success_rate);
    let count = rates.len() as u64;
    if count == 0 || count < u64::from(rule.minimum_instances) {
        return Vec::new();
    }
    let mean = rates.iter().map(|(_, rate)| rate).sum::<u64>() / count;
    let variance = rates.iter().map(|(_, rate)| rate.abs_diff(mean).pow(2)).sum::<u64>() / count;
    let distance = variance.isqrt() * u64::from(rule.deviations_thousandths) / 1_000;
    let threshold = mean.saturating_sub(distance);
    rates.retain(|(_, rate)| *rate < threshold);
    rates.sort_unstable_by_key(|(index, rate)| (*rate, *index));
    rates.into_iter().map(|(index, _)| index).collect()
}

/// Those that take so much longer than the median of the others, the slowest first.
fn slow(rule: Latency, observations: &[Observation]) -> Vec<usize> {
    let mut means = measured(observations, rule.minimum_calls, Observation::mean_micros);
    means.sort_unstable_by_key(|(index, mean)| (*mean, *index));
    let median_without = |place: usize| {
        let middle = means.len().checked_sub(2)? / 2;
        means.get(if middle < place { middle } else { middle + 1 }).map(|(_, mean)| *mean)
    };
    let is_slow = |place: usize, mean: u64| {
        let too_long =
            |median| u128::from(mean) * 100 > u128::from(median) * u128::from(rule.factor_percent.max(100));
        median_without(place).is_some_and(too_long)
    };
    let places = means.iter().enumerate().rev();
    places.filter(|(place, (_, mean))| is_slow(*place, *mean)).map(|(_, (index, _))| *index).collect()
}

/// What is measured of each instance that had enough calls, with its index.
fn measured(
    observations: &[Observation],
    minimum: u32,
    measure: impl Fn(&Observation) -> u64,
) -> Vec<(usize, u64)> {
    let enough = observations.iter().enumerate().filter(|(_, it)| it.calls >= minimum.max(1));
    enough.map(|(index, it)| (index, measure(it))).collect()
}
