//! Who is given events, in turn.

use super::MemberId;
use std::collections::{BTreeMap, VecDeque};

/// Those who are given events.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub(super) struct Members {
    members: BTreeMap<MemberId, Member>,
    /// Those who have room, once each; and some who are gone.
    rota: VecDeque<MemberId>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
struct Member {
    most: u32,
    flying: u32,
    listed: bool,
}

impl Members {
    pub(super) fn len(&self) -> u32 {
        self.members.len() as u32
    }

    /// Takes somebody in, or changes how much they may have.
    pub(super) fn join(&mut self, id: MemberId, most: u32) {
        self.members.entry(id).or_default().most = most;
        self.list(id);
    }

    /// Whether they were there.
    pub(super) fn leave(&mut self, id: MemberId) -> bool {
        let Some(member) = self.members.remove(&id) else { return false };
        if member.listed {
            self.rota.retain(|listed| *listed != id);
        }
        true
    }

    /// Whose turn it is; they have one more then.
    pub(super) fn next(&mut self) -> Option<MemberId> {
        while let Some(id) = self.rota.pop_front() {
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.listed = false;
            if member.flying < member.most {
                member.flying += 1;
                self.list(id);
                return Some(id);
            }
        }
        None
    }

    /// They have one less.
    pub(super) fn landed(&mut self, id: MemberId) {
        if let Some(member) = self.members.get_mut(&id) {
            member.flying = member.flying.saturating_sub(1);
            self.list(id);
        }
    }

    /// Nobody has any.
    pub(super) fn all_landed(&mut self) {
        let ids: Vec<MemberId> = self.members.keys().copied().collect();
        for id in ids {
            if let Some(member) = self.members.get_mut(&id) {
                member.flying = 0;
            }
            self.list(id);
        }
    }

    fn list(&mut self, id: MemberId) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if !member.listed && member.flying < member.most {
            member.listed = true;
            self.rota.push_back(id);
        }
    }
}
