//! Duties of one kind that are evened out: of so many shares each server that is alive has as many as any other, or one more.
//!
//! Life cycle: each server looks now and then who is alive and who holds which share, and works out by [`shares`] who is to have
//! which. It lets go of what is no longer to be its own, and takes what is, as soon as nobody holds it. As all work out the same from
//! the same, nobody takes what another one is about to take; and since a share moves only if somebody has too many, or is gone,
//! nothing moves once they are even.
//!
//! Left out on purpose: that a share has one holder. That is the task of leases, and of the log if they overlap.

use crate::id::ServerId;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Who is to have each share, of those that are alive, where `holders` have them now. None if nobody is alive.
pub fn shares(alive: &BTreeSet<ServerId>, holders: &[Option<ServerId>]) -> Vec<Option<ServerId>> {
    let mut room = room(alive, holders);
    let mut take = |server: ServerId| match room.get_mut(&server) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    };
    let kept: Vec<_> = holders.iter().map(|holder| holder.filter(|server| take(*server))).collect();
    let mut takers = alive.iter().flat_map(|server| {
        let left = room.get(server).copied().unwrap_or_default();
        std::iter::repeat_n(*server, left)
    });
    kept.into_iter().map(|holder| holder.or_else(|| takers.next())).collect()
}

/// How many shares each may have. Where they do not come out even, those that have the most now have one more.
fn room(alive: &BTreeSet<ServerId>, holders: &[Option<ServerId>]) -> BTreeMap<ServerId, usize> {
    let count = |server: &ServerId| holders.iter().filter(|holder| **holder == Some(*server)).count();
    let mut servers: Vec<ServerId> = alive.iter().copied().collect();
    servers.sort_by_key(|server| (Reverse(count(server)), *server));
    let each = holders.len().checked_div(servers.len()).unwrap_or_default();
    let more = holders.len().checked_rem(servers.len()).unwrap_or_default();
    servers.into_iter().enumerate().map(|(at, server)| (server, each + usize::from(at < more))).collect()
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
