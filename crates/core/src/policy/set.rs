//! All policies that are attached to one service or route, and what they say of a call.

use super::{Action, Facts, Fields, Policy};
use crate::id::PolicyName;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The most policies that can be attached to one service or route.
pub const MAX_ATTACHED: usize = 64;

/// The policies attached to one service or route. The order in which they are given makes no difference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Set {
    /// In the order of their names.
    policies: Box<[(PolicyName, Arc<Policy>)]>,
    first_allow: Option<PolicyName>,
}

/// More policies are attached than can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{attached} policies are attached; there can be {MAX_ATTACHED}")]
pub struct TooMany {
    /// How many.
    pub attached: usize,
}

/// Whom it counts against that something is not known of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The caller: what may be forbidden is. For whatever passes unseen from here on.
    Against,
    /// Nobody: only what is certainly forbidden is refused. For what is looked at again when more is known.
    InFavour,
}

/// Which policies of a set apply to a call.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Applied(u64);

/// Why a call may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied<'a> {
    /// A Deny applies: the first of them by name.
    By(&'a PolicyName),
    /// There are Allows, of which this is the first by name, and none applies.
    Unallowed(&'a PolicyName),
}

impl Set {
    /// The set of these policies; one that is given twice is there once.
    ///
    /// # Errors
    /// [`TooMany`] if there are more than [`MAX_ATTACHED`].
    pub fn new<'a>(
        policies: impl IntoIterator<Item = (&'a PolicyName, &'a Arc<Policy>)>,
    ) -> Result<Self, TooMany> {
        let distinct: BTreeMap<_, _> = policies.into_iter().collect();
        if distinct.len() > MAX_ATTACHED {
            return Err(TooMany { attached: distinct.len() });
        }
        let policies = distinct.into_iter().map(|(name, policy)| (name.clone(), Arc::clone(policy)));
        let policies: Box<[_]> = policies.collect();
        let allow = policies.iter().find(|(_, policy)| policy.action == Action::Allow);
        Ok(Self { first_allow: allow.map(|(name, _)| name.clone()), policies })
    }

    /// Whether nothing is attached.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// All policies, in the order of their names.
    pub fn policies(&self) -> impl Iterator<Item = (&PolicyName, &Policy)> {
        self.policies.iter().map(|(name, policy)| (name, &**policy))
    }

    /// Whether a call may pass, and which policies apply to it then. Allocates nothing.
    ///
    /// # Errors
    /// [`Denied`] if it may not.
    pub fn judge<H: Fields + ?Sized>(
        &self,
        facts: &Facts<'_, H>,
        doubt: Doubt,
    ) -> Result<Applied, Denied<'_>> {
        let mut applied = Applied::default();
        let mut allowed = false;
        for (index, (name, policy)) in self.policies.iter().enumerate() {
            if !policy.applies(facts, doubt) {
                continue;
            }
            match policy.action {
                Action::Deny => return Err(Denied::By(name)),
                Action::Allow => allowed = true,
                _ => applied.0 |= 1 << index,
            }
        }
        match &self.first_allow {
            Some(name) if !allowed => Err(Denied::Unallowed(name)),
            _ => Ok(applied),
        }
    }

    /// The policies that apply, each with its place among [`Set::policies`].
    pub fn applied(&self, applied: Applied) -> impl Iterator<Item = (usize, &PolicyName, &Action)> {
        let all = self.policies.iter().enumerate();
        let found = all.filter(move |(index, _)| applied.0 >> index & 1 == 1);
        found.map(|(index, (name, policy))| (index, name, &policy.action))
    }

    /// How long the call may take, if a policy that applies says so.
    pub fn timeout(&self, applied: Applied) -> Option<Duration> {
        let said = self.applied(applied).filter_map(|(_, _, action)| match action {
            Action::Timeout(timeout) => Some(*timeout),
            _ => None,
        });
        said.min()
    }

    /// How often the call is tried in all, if a policy that applies says so.
    pub fn max_attempts(&self, applied: Applied) -> Option<u32> {
        let said = self.applied(applied).filter_map(|(_, _, action)| match action {
            Action::Retry { max_attempts } => Some(*max_attempts),
            _ => None,
        });
        said.min()
    }
}

impl Applied {
    /// Whether none applies.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Policy {
    fn applies<H: Fields + ?Sized>(&self, facts: &Facts<'_, H>, doubt: Doubt) -> bool {
        let restricts = matches!(self.action, Action::Deny | Action::RateLimit(_));
        // What is not known is taken as if the action, if it restricts, applied; and did not, if not.
        let unknown = restricts == (doubt == Doubt::Against);
        self.rules.iter().all(|it| it.holds(facts).unwrap_or(unknown))
            && !self.unless.iter().any(|it| it.holds(facts).unwrap_or(!unknown))
    }
}
