//! Which of a service's endpoints its requests are spread over: one function of what is known of them, worked out whenever
//! that changes.
//!
//! - The **healthy** ones, as a rule.
//! - **Guarded**: when most of those that were healthy turn unhealthy at once, it is likelier that their checks, or something
//!   that all of them need, have failed than that all of them have. They are used on for [`GUARD_HOLD`], so that their
//!   requests decide.
//! - **Panic**: when by all this fewer than a share of them can be used, all are. So few could not carry the load of all.
//! - **Near ones first**: those of the caller's zone, then of its region, then the others. A level that has lost more than it
//!   has to spare (a factor of 1.4, as with Envoy's overprovisioning) hands on the part that it cannot carry.
//!
//! A service with one endpoint is neither guarded nor in panic: there are no others to compare it with.
//!
//! Left out on purpose: circuit breakers and ejected outliers, which are looked at with each pick, and draining endpoints,
//! which are never among those given here.

use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Endpoints that turn unhealthy within this time have done so at once.
pub const GUARD_WINDOW: Duration = Duration::from_secs(10);

/// How long endpoints that turned unhealthy at once are used all the same.
pub const GUARD_HOLD: Duration = Duration::from_secs(60);

/// More than this share of those that were healthy, in percent, is most of them.
const MOST_PERCENT: u64 = 50;

/// What a level can carry of all requests, in percent of the share of its endpoints that can be used.
const OVERPROVISIONING_PERCENT: u64 = 140;

/// All requests, as [`Level::share`] has it.
pub const ALL: u32 = 1 << 16;

/// What is known of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Standing {
    /// Whether it is healthy. One that is not has been.
    pub healthy: bool,
    /// Since when.
    pub since: Timestamp,
    /// How far it is from the caller.
    pub distance: Distance,
}

/// How far an endpoint is from the caller.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Distance {
    /// In the same zone.
    Zone,
    /// In another zone of the same region.
    Region,
    /// Elsewhere, or nobody knows.
    #[default]
    Elsewhere,
}

/// Where somebody is.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locality {
    /// The region, if it is known.
    pub region: Option<String>,
    /// The zone of the region, if it is known.
    pub zone: Option<String>,
}

impl Locality {
    /// Where metadata says that its owner is: under `region` and `zone`.
    pub fn of(metadata: &BTreeMap<String, String>) -> Self {
        Self { region: metadata.get("region").cloned(), zone: metadata.get("zone").cloned() }
    }

    /// How far somebody with this metadata is from here.
    pub fn distance(&self, metadata: &BTreeMap<String, String>) -> Distance {
        let same = |own: &Option<String>, key: &str| own.as_ref().map(|own| metadata.get(key) == Some(own));
        match (same(&self.region, "region"), same(&self.zone, "zone")) {
            (Some(true) | None, Some(true)) => Distance::Zone,
            (Some(true), _) => Distance::Region,
            _ => Distance::Elsewhere,
        }
    }
}

/// How it stands with a service's endpoints.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// The healthy ones are used.
    #[default]
    Normal,
    /// Those that turned unhealthy at once are used too.
    Guarded,
    /// All are used.
    Panic,
}

/// Which endpoints are used.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Plan {
    /// How it stands with them.
    pub mode: Mode,
    /// Where requests go, the nearest first. Their shares add up to [`ALL`] if there is anybody.
    pub levels: Vec<Level>,
    /// When this will be different though nothing has changed.
    pub until: Option<Timestamp>,
}

/// Endpoints at one distance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Level {
    /// Which, by where they stand in the list. Never empty.
    pub members: Vec<usize>,
    /// Their share of the requests, out of [`ALL`]; above 0.
    pub share: u32,
}

/// Which endpoints are used, where panic begins below this share of them, in percent.
pub fn plan(standings: &[Standing], panic_percent: u32, now: Timestamp) -> Plan {
    let doubted = doubted(standings, now);
    let is_doubted = |standing: &Standing| doubted.is_some_and(|it| it.holds(standing));
    let usable: Vec<bool> = standings.iter().map(|it| it.healthy || is_doubted(it)).collect();
    let until = doubted.map(|it| it.first.after(GUARD_HOLD));
    let count = usable.iter().filter(|usable| **usable).count() as u64;
    let all = standings.len() as u64;
    if all > 1 && count * 100 < all * u64::from(panic_percent) {
        let members = (0..standings.len()).collect();
        return Plan { mode: Mode::Panic, levels: vec![Level { members, share: ALL }], until };
    }
    let mode = if doubted.is_some() { Mode::Guarded } else { Mode::Normal };
    Plan { mode, levels: levels(standings, &usable), until }
}

/// Endpoints that turned unhealthy at once.
#[derive(Debug, Clone, Copy)]
struct Burst {
    first: Timestamp,
    last: Timestamp,
}

impl Burst {
    fn holds(&self, standing: &Standing) -> bool {
        !standing.healthy && (self.first..=self.last).contains(&standing.since)
    }
}

/// The last endpoints that turned unhealthy at once, if that were most of those that were healthy.
fn doubted(standings: &[Standing], now: Timestamp) -> Option<Burst> {
    let healthy = standings.iter().filter(|it| it.healthy).count() as u64;
    let recent = |it: &&Standing| !it.healthy && now < it.since.after(GUARD_HOLD);
    let mut turned: Vec<Timestamp> = standings.iter().filter(recent).map(|it| it.since).collect();
    turned.sort_unstable();
    let bursts = turned.iter().enumerate().rev().map(|(index, first)| {
        let at_once = turned.iter().skip(index).take_while(|it| **it <= first.after(GUARD_WINDOW));
        let (count, last) = at_once.fold((0_u64, *first), |(count, _), it| (count + 1, *it));
        (count, Burst { first: *first, last })
    });
    // The most that belong together; of as many, the later ones.
    let (count, burst) = bursts.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    (count > 1 && count * 100 > MOST_PERCENT * (healthy + count)).then_some(burst)
}

fn levels(standings: &[Standing], usable: &[bool]) -> Vec<Level> {
    let at = |distance: Distance| {
        let there = standings.iter().enumerate().filter(move |(_, it)| it.distance == distance);
        let known = there.clone().count() as u64;
        let members: Vec<usize> =
            there.map(|(index, _)| index).filter(|index| usable.get(*index) == Some(&true)).collect();
        // However few there are, they carry something.
        let carries = (OVERPROVISIONING_PERCENT * members.len() as u64).div_ceil(known.max(1)).min(100);
        (members, carries)
    };
    let there: Vec<_> = [Distance::Zone, Distance::Region, Distance::Elsewhere].into_iter().map(at).collect();
    // If all together cannot carry all, each takes its part.
    let whole = there.iter().map(|(_, carries)| carries).sum::<u64>().min(100);
    let mut left = ALL;
    let mut levels: Vec<Level> = Vec::new();
    for (members, carries) in there {
        let part = (u64::from(ALL) * carries).checked_div(whole).unwrap_or(0);
        let share = left.min(part as u32);
        if share > 0 && !members.is_empty() {
            left -= share;
            levels.push(Level { members, share });
        }
    }
    // What rounding has left.
    if let Some(last) = levels.last_mut() {
        last.share += left;
    }
    levels
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
