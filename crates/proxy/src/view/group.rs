//! Which of a service's instances are used, arranged for its strategy: once for all of them, and once for each subset that
//! a route asks for.

use super::asked::Asked;
use crate::cells::Cells;
use std::sync::Arc;
use tenon_core::availability::{self, Distance, Locality, Mode, Standing};
use tenon_core::balance::{Subset, Table};
use tenon_core::manifest::Traffic;
use tenon_core::snapshot::Endpoint;
use tenon_core::{ServiceRef, Timestamp};

/// What a view depends on besides what the data plane is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub(crate) now: Timestamp,
    /// Where the data plane is.
    pub(crate) locality: &'a Locality,
}

/// The instances that are used by those who ask for one subset.
#[derive(Debug)]
pub(crate) struct Group {
    /// What is asked for.
    pub(crate) asked: Subset,
    /// How it stands with them.
    pub(crate) mode: Mode,
    /// All of them, by where they stand among the targets.
    pub(crate) members: Vec<usize>,
    /// The nearest first.
    pub(crate) levels: Vec<Level>,
    /// When this will be different though nothing has changed.
    pub(crate) until: Option<Timestamp>,
}

/// Instances at one distance.
#[derive(Debug)]
pub(crate) struct Level {
    /// Their share of the calls, out of [`availability::ALL`].
    pub(crate) share: u32,
    pub(crate) table: Arc<Table>,
}

impl Group {
    /// The level that a random number chooses.
    pub(crate) fn level(&self, random: u64) -> usize {
        if self.levels.len() < 2 {
            return 0;
        }
        let mut rest = (random >> 48) as u32;
        let chosen = self.levels.iter().position(|level| {
            let chosen = rest < level.share;
            rest = rest.saturating_sub(level.share);
            chosen
        });
        chosen.unwrap_or(0)
    }
}

/// One group for those who ask for no subset, and one for each that is asked for.
pub(super) fn groups(
    service: &ServiceRef,
    traffic: &Traffic,
    endpoints: &[Endpoint],
    asked: &Asked,
    cells: &mut Cells,
    setting: Setting<'_>,
) -> Vec<Group> {
    let subsets = std::iter::once(Subset::default()).chain(asked.of(service).cloned());
    subsets.map(|asked| group(service, traffic, endpoints, asked, cells, setting)).collect()
}

fn group(
    service: &ServiceRef,
    traffic: &Traffic,
    endpoints: &[Endpoint],
    asked: Subset,
    cells: &mut Cells,
    setting: Setting<'_>,
) -> Group {
    let config = &traffic.balance;
    let subset = config.subset.and(&asked);
    let own = |(_, it): &(usize, &Endpoint)| it.weight > 0 && subset.holds(it.version.as_str(), &it.metadata);
    let candidates: Vec<(usize, &Endpoint)> = endpoints.iter().enumerate().filter(own).collect();
    let standing = |(_, it): &(usize, &Endpoint)| Standing {
        healthy: it.healthy,
        since: it.since,
        distance: match config.prefer_near {
            true => setting.locality.distance(&it.metadata),
            false => Distance::Elsewhere,
        },
    };
    let standings: Vec<Standing> = candidates.iter().map(standing).collect();
    let plan = availability::plan(&standings, config.panic_percent, setting.now);
    let place = |member: usize| candidates.get(member).copied();
    let members = plan.levels.iter().flat_map(|it| &it.members).filter_map(|it| place(*it)).map(|it| it.0);
    let members = members.collect();
    let mut level = |planned: availability::Level| {
        let chosen = planned.members.iter().filter_map(|it| place(*it));
        let chosen = chosen.map(|(index, it)| (index, it.instance.clone(), it.weight)).collect();
        Level { share: planned.share, table: cells.table(service, config, chosen) }
    };
    let levels = plan.levels.into_iter().map(&mut level).collect();
    Group { asked, mode: plan.mode, members, levels, until: plan.until }
}
