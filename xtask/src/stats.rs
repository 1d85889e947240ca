//! Times gathered, and what is said of them.

use std::time::Duration;

/// A set of times.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The time that this share (0 to 1) of all do not exceed (nearest rank); zero if there is none.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        Self(times.into_iter().collect())
    }
}

/// Times gathered in several slices of a run, so that it can be told what the slices have in common.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slices(Vec<Vec<u64>>);

/// How often the slices are drawn anew.
const DRAWS: usize = 1_000;

impl Slices {
    /// Adds the times of one slice.
    pub(crate) fn add(&mut self, times: impl Iterator<Item = Duration>) {
        let mut slice: Vec<u64> = times.map(|time| time.as_nanos() as u64).collect();
        slice.sort_unstable();
        self.0.push(slice);
    }

    /// The time that this share of all do not exceed, and between what 95 % of those lie that come of slices drawn anew from
    /// these (bootstrap by slice: times of one slice are not independent).
    pub(crate) fn quantile(&self, share: f64) -> (Duration, [Duration; 2]) {
        let count = self.0.len();
        let drawn = draws(count).map(|chosen| self.of(&chosen, share) as f64).collect();
        let all: Vec<usize> = (0..count).collect();
        let interval = middle(drawn).map(|nanos| Duration::from_nanos(nanos as u64));
        (Duration::from_nanos(self.of(&all, share)), interval)
    }

    /// The ratio of this quantile to another's, whose slices were taken in turn with these, and its 95 %: the same slices are
    /// drawn of both.
    pub(crate) fn ratio(&self, other: &Self, share: f64) -> (f64, [f64; 2]) {
        let count = self.0.len().min(other.0.len());
        let ratio = |chosen: &[usize]| self.of(chosen, share) as f64 / other.of(chosen, share) as f64;
        let all: Vec<usize> = (0..count).collect();
        (ratio(&all), middle(draws(count).map(|chosen| ratio(&chosen)).collect()))
    }

    /// The same of a slice in the middle: half of all slices have a lesser quantile. A pause of the machine, which falls into
    /// few slices and holds many of their requests, does not move it.
    pub(crate) fn typical(&self, share: f64) -> (Duration, [Duration; 2]) {
        let each = self.each(share);
        let all: Vec<usize> = (0..each.len()).collect();
        let drawn = draws(each.len()).map(|chosen| median(&each, &chosen)).collect();
        let nanos = |nanos: f64| Duration::from_nanos(nanos as u64);
        (nanos(median(&each, &all)), middle(drawn).map(nanos))
    }

    /// The ratio of that to another's, as for [`Self::ratio`].
    pub(crate) fn typical_ratio(&self, other: &Self, share: f64) -> (f64, [f64; 2]) {
        let (own, other) = (self.each(share), other.each(share));
        let count = own.len().min(other.len());
        let ratio = |chosen: &[usize]| median(&own, chosen) / median(&other, chosen);
        let all: Vec<usize> = (0..count).collect();
        (ratio(&all), middle(draws(count).map(|chosen| ratio(&chosen)).collect()))
    }

    /// Each slice's quantile.
    fn each(&self, share: f64) -> Vec<f64> {
        (0..self.0.len()).map(|slice| self.of(&[slice], share) as f64).collect()
    }

    /// The least time that at least this share of the times in these slices do not exceed.
    fn of(&self, chosen: &[usize], share: f64) -> u64 {
        let slices = || chosen.iter().filter_map(|place| self.0.get(*place));
        let rank = (share * slices().map(Vec::len).sum::<usize>() as f64).ceil() as usize;
        let up_to = |most: u64| slices().map(|slice| slice.partition_point(|it| *it <= most)).sum::<usize>();
        let (mut low, mut high) = (0, slices().filter_map(|slice| slice.last()).max().copied().unwrap_or(0));
        while low < high {
            let half = low + (high - low) / 2;
            if up_to(half) >= rank { high = half } else { low = half + 1 }
        }
        low
    }
}

/// The value in the middle of these.
fn median(values: &[f64], chosen: &[usize]) -> f64 {
    let mut chosen: Vec<f64> = chosen.iter().filter_map(|place| values.get(*place)).copied().collect();
    chosen.sort_by(f64::total_cmp);
    chosen.get(chosen.len() / 2).copied().unwrap_or(f64::NAN)
}

/// As many of so many, with repetition, again and again, and the same in each run.
fn draws(count: usize) -> impl Iterator<Item = Vec<usize>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % count.max(1)
    };
    (0..DRAWS).map(move |_| (0..count).map(|_| draw()).collect())
}

/// Between what the middle 95 % lie.
fn middle(mut values: Vec<f64>) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get((share * values.len() as f64) as usize).copied().unwrap_or(f64::NAN);
    [at(0.025), at(0.975)]
}

/// Milliseconds with two decimals.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests;
