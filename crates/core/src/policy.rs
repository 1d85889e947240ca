//! Policies: what is done with which calls to a service, whoever makes them and however they come.
//!
//! Life cycle: [`Policies`] are plain data from a manifest: each has a name, and services and routes name those that
//! are attached to them. A [`Set`] is made of all that are attached to one of them, and is immutable from then on;
//! [`Set::judge`] says for each request whether it may pass and which of the policies apply to it.
//!
//! The order in which policies are written or attached makes no difference. One Deny that applies refuses the call,
//! whatever else is attached. If any Allow is attached, one of them must apply. All others that apply take effect
//! together: every rate limit must have room; of time-outs and numbers of attempts the smallest holds; header edits
//! are made in the order of the policies' names. A policy can't be switched off by another one, and adding a Deny
//! never lets more through.
//!
//! What can't be seen counts against the caller: where a condition speaks of something that is not known of a call (the
//! path of plain bytes, the caller behind a connection that shows none), a Deny and a rate limit apply as if it held,
//! and an Allow as if it did not.
//!
//! Left out on purpose: counting (module [`rate`](crate::rate)), and regular expressions.

mod cidr;
mod condition;
mod edits;
mod set;
mod words;

pub use cidr::Cidr;
pub use condition::{Condition, Facts, Field, Fields, Http, Source, Test};
pub use edits::{Edits, HeaderEdits, is_editable};
pub use set::{Applied, Denied, Doubt, MAX_ATTACHED, Set, TooMany};
pub use words::{FIELDS, OPERATORS, Words};

use crate::id::{PolicyName, RouteName, ServiceRef};
use crate::rate;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// All policies of a system and what they are attached to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Policies {
    /// Each by its name.
    pub named: BTreeMap<PolicyName, Arc<Policy>>,
    /// Those attached to every service.
    pub all: BTreeSet<PolicyName>,
    /// Those attached to single services besides.
    pub services: BTreeMap<ServiceRef, BTreeSet<PolicyName>>,
    /// Those attached to routes of the gateway.
    pub routes: BTreeMap<RouteName, BTreeSet<PolicyName>>,
}

/// What is done with which calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Policy {
    /// What must all hold for the action to apply.
    pub rules: Vec<Condition>,
    /// None of which may hold for the action to apply.
    pub unless: Vec<Condition>,
    /// What is done then.
    pub action: Action,
}

/// What a policy does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// The call may pass, and whatever no Allow applies to may not.
    Allow,
    /// The call is refused.
    Deny,
    /// The call is refused if there have been too many.
    RateLimit(rate::Limit),
    /// How often the call is tried in all, in place of what the service says; at least 1.
    Retry {
        /// The first try included.
        max_attempts: u32,
    },
    /// How long the call may take, in place of what the route or service says.
    Timeout(Duration),
    /// A copy goes to another service; its answer is thrown away.
    Mirror(Mirror),
    /// The call is spoilt, to see what its caller does about it.
    Fault(Fault),
    /// Headers of the request and the response are changed.
    Headers(Edits),
}

/// Where copies go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mirror {
    /// The service.
    pub service: ServiceRef,
    /// How many calls of 100 are copied.
    pub percent: u8,
}

/// How a call is spoilt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fault {
    /// How long it waits first.
    pub delay: Option<Duration>,
    /// The status that it is answered with instead of being sent.
    pub abort: Option<u16>,
    /// How many calls of 100 it happens to.
    pub percent: u8,
}

impl Policies {
    /// The policies attached to a service.
    pub fn of_service(&self, service: &ServiceRef) -> impl Iterator<Item = (&PolicyName, &Arc<Policy>)> {
        let own = self.services.get(service).into_iter().flatten();
        self.find(self.all.iter().chain(own))
    }

    /// The policies attached to a route.
    pub fn of_route(&self, route: &RouteName) -> impl Iterator<Item = (&PolicyName, &Arc<Policy>)> {
        self.find(self.routes.get(route).into_iter().flatten())
    }

    /// Whether everything that is attached is there, not too much of it, and every policy is one that can be carried
    /// out. What holds for all policies from here on.
    ///
    /// # Errors
    /// One sentence on what is wrong.
    pub fn check(&self) -> Result<(), String> {
        let attached =
            || self.services.values().chain(self.routes.values()).chain(std::iter::once(&self.all));
        if let Some(name) = attached().flatten().find(|name| !self.named.contains_key(*name)) {
            return Err(format!("there is no policy `{name}`"));
        }
        let most = MAX_ATTACHED / 2;
        if attached().any(|names| names.len() > most) {
            return Err(format!("more than {most} policies are attached to one service or route"));
        }
        self.named.iter().try_for_each(|(name, policy)| {
            policy.action.check().map_err(|problem| format!("policy `{name}`: {problem}"))
        })
    }

    fn find<'a>(
        &'a self,
        names: impl Iterator<Item = &'a PolicyName>,
    ) -> impl Iterator<Item = (&'a PolicyName, &'a Arc<Policy>)> {
        names.filter_map(|name| self.named.get_key_value(name))
    }
}

impl Action {
    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::RateLimit(limit) if limit.requests == 0 || limit.burst == 0 || limit.per.is_zero() => {
                Err("`requests`, `burst` and `per` must be above 0")
            }
            Self::Retry { max_attempts: 0 } => Err("`max_attempts` must be above 0"),
            Self::Mirror(Mirror { percent: 101.., .. }) | Self::Fault(Fault { percent: 101.., .. }) => {
                Err("`percent` must be 0 to 100")
            }
            Self::Fault(Fault { abort: Some(..=199 | 600..), .. }) => Err("`abort` must be 200 to 599"),
            Self::Headers(edits) => edits.check(),
            _ => Ok(()),
        }
    }
}

/// Whether something that happens to `percent` of 100 happens, by a random number.
pub fn is_drawn(percent: u8, random: u64) -> bool {
    // `random * 100 / 2^64` is one of 0 to 99.
    ((u128::from(random) * 100) >> 64) < u128::from(percent)
}

#[cfg(test)]
mod tests;
