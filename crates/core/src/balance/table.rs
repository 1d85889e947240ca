//! What a pick reads: a service's endpoints, arranged once for a strategy.

use super::hash::{Key, key, mix};
use super::maglev;
use super::ring::Ring;
use super::schedule;
use super::{Config, Strategy};

/// An endpoint that may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// Where it stands in the list that picks are made from.
    pub index: usize,
    /// Its name, by which hashing knows it.
    pub name: &'a str,
    /// Its share of the traffic against the others'; 0 for none.
    pub weight: u32,
}

/// The endpoints of a service, arranged for its strategy. Immutable, to be shared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Table {
    /// Those with a weight.
    members: Box<[Place]>,
    /// The sum of their weights.
    weight: u64,
    order: Order,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Order {
    /// Each once, as they stand.
    Each,
    /// Turns by weight.
    Schedule(Box<[u32]>),
    Ring(Ring),
    Maglev(Box<[u32]>),
}

/// An endpoint in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) index: u32,
    pub(super) weight: u32,
    /// Its name's hash.
    pub(super) name: u64,
}

impl Table {
    /// Arranges endpoints. Takes time and memory in proportion to their number, their virtual nodes, or up to 65,536 turns.
    pub fn new<'a>(config: &Config, members: impl IntoIterator<Item = Member<'a>>) -> Self {
        let weighted = members.into_iter().filter(|member| member.weight > 0);
        let members: Box<[Place]> = weighted
            .map(|it| Place { index: it.index as u32, weight: it.weight, name: key(it.name.as_bytes()).0 })
            .collect();
        let order = match config.strategy {
            Strategy::RoundRobin | Strategy::Random | Strategy::LeastConnections => Order::Each,
            Strategy::WeightedRoundRobin | Strategy::LeastRequests | Strategy::PeakEwma => {
                by_weight(&members)
            }
            Strategy::RingHash => Order::Ring(Ring::new(&members, config.virtual_nodes)),
            Strategy::Maglev => Order::Maglev(maglev::slots(&members)),
        };
        Self { weight: members.iter().map(|it| u64::from(it.weight)).sum(), members, order }
    }

    /// Whether there is nobody to choose.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many may be chosen.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// The sum of their weights.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// How many turns there are until all begins again.
    pub(super) fn turns(&self) -> usize {
        match &self.order {
            Order::Each => self.members.len(),
            Order::Schedule(turns) | Order::Maglev(turns) => turns.len(),
            Order::Ring(ring) => ring.len(),
        }
    }

    /// Whose turn it is; turns go around.
    pub(super) fn at(&self, turn: usize) -> Option<usize> {
        let turn = if turn < self.turns() { turn } else { turn.checked_rem(self.turns())? };
        match &self.order {
            Order::Each => self.members.get(turn).map(|member| member.index as usize),
            Order::Schedule(turns) | Order::Maglev(turns) => turns.get(turn).map(|index| *index as usize),
            Order::Ring(ring) => ring.at(turn),
        }
    }

    /// The turn that a key belongs to.
    pub(super) fn find(&self, key: Key) -> usize {
        match &self.order {
            Order::Ring(ring) => ring.find(key),
            Order::Each | Order::Schedule(_) | Order::Maglev(_) => maglev::find(key, self.turns()),
        }
    }

    /// Everyone, from the `first` one around.
    pub(super) fn everyone(&self, first: usize) -> impl Iterator<Item = usize> {
        let first = if first < self.members.len() { first } else { 0 };
        let (before, after) = self.members.split_at(first);
        after.iter().chain(before).map(|member| member.index as usize)
    }

    /// Of those who may be chosen, the one that a key goes to when its own may not: the same for as long as it may.
    pub(super) fn substitute(&self, key: Key, eligible: impl Fn(usize) -> bool) -> Option<usize> {
        let members = self.members.iter().filter(|member| eligible(member.index as usize));
        members.max_by_key(|member| mix(member.name ^ key.0)).map(|member| member.index as usize)
    }
}

fn by_weight(members: &[Place]) -> Order {
    let Some(first) = members.first() else { return Order::Each };
    if members.iter().all(|member| member.weight == first.weight) {
        return Order::Each;
    }
    let weights: Vec<u32> = members.iter().map(|member| member.weight).collect();
    let index = |place: u32| members.get(place as usize).map_or(0, |member| member.index);
    Order::Schedule(schedule::cycle(&weights).into_iter().map(index).collect())
}
