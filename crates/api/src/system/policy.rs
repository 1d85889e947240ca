//! Policies and what they are attached to.

use super::keyed;
use crate::InvalidMessage;
use crate::invalid::{Checked, each, parsed};
use crate::text::millis::round_up;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tenon_core::PolicyName;
use tenon_core::policy::{Action, Condition, Edits, Fault, HeaderEdits, Mirror, Policies, Policy, Words};
use tenon_core::rate;
use tenon_core::route::HeaderName;

/// All policies, and what they are attached to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoliciesDoc {
    /// Each by its name.
    pub named: BTreeMap<String, PolicyDoc>,
    /// Those attached to every service.
    pub all: BTreeSet<String>,
    /// Those attached to single services besides, by `service[.namespace]`.
    pub services: BTreeMap<String, BTreeSet<String>>,
    /// Those attached to routes of the gateway.
    pub routes: BTreeMap<String, BTreeSet<String>>,
}

/// What is done with which calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyDoc {
    /// What must all hold for the action to apply.
    pub rules: Vec<ConditionDoc>,
    /// None of which may hold for the action to apply.
    pub unless: Vec<ConditionDoc>,
    /// What is done then.
    pub action: PolicyActionDoc,
}

/// Something that holds for a call or does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConditionDoc {
    /// What is looked at.
    pub field: String,
    /// Of which header or query parameter.
    pub name: Option<String>,
    /// How it is compared.
    pub operator: String,
    /// With what.
    pub values: Vec<String>,
}

/// What a policy does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyActionDoc {
    /// The call may pass.
    Allow,
    /// The call is refused.
    Deny,
    /// The call is refused if there have been too many.
    RateLimit {
        /// How many in each `per_ms`.
        requests: u32,
        /// In how long.
        per_ms: u64,
        /// How many may come at once.
        burst: u32,
        /// What is counted apart: `all`, `source`, `client` or `header`.
        by: String,
        /// Which header, where it is that.
        header: Option<String>,
        /// Whether all data planes share it.
        #[serde(default)]
        shared: bool,
    },
    /// How often the call is tried in all.
    Retry {
        /// The first try included.
        max_attempts: u32,
    },
    /// How long the call may take.
    Timeout {
        /// In all.
        timeout_ms: u64,
    },
    /// A copy goes to another service.
    Mirror {
        /// The service, `service[.namespace]`.
        service: String,
        /// How many calls of 100.
        percent: u8,
    },
    /// The call is spoilt.
    Fault {
        /// How long it waits first.
        delay_ms: Option<u64>,
        /// The status that it is answered with.
        abort: Option<u16>,
        /// How many calls of 100.
        percent: u8,
    },
    /// Headers are changed.
    Headers {
        /// Of the request.
        request: HeaderEditsDoc,
        /// Of the response.
        response: HeaderEditsDoc,
    },
}

/// Changes to one message's headers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeaderEditsDoc {
    /// Taken out.
    pub remove: Vec<String>,
    /// Put in place of what was there: names and values.
    pub set: Vec<(String, String)>,
    /// Put beside what was there: names and values.
    pub add: Vec<(String, String)>,
}

impl PoliciesDoc {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl From<&Policies> for PoliciesDoc {
    fn from(policies: &Policies) -> Self {
        let names = |names: &BTreeSet<PolicyName>| names.iter().map(ToString::to_string).collect();
        Self {
            named: policies.named.iter().map(|(name, it)| (name.to_string(), (&**it).into())).collect(),
            all: names(&policies.all),
            services: policies
                .services
                .iter()
                .map(|(service, it)| (service.to_string(), names(it)))
                .collect(),
            routes: policies.routes.iter().map(|(route, it)| (route.to_string(), names(it))).collect(),
        }
    }
}

impl TryFrom<&PoliciesDoc> for Policies {
    type Error = InvalidMessage;
    fn try_from(doc: &PoliciesDoc) -> Checked<Self> {
        let names = |names: &BTreeSet<String>| each("", names, |name| parsed("", name));
        let policies = Self {
            named: keyed("named", &doc.named, |_, policy| Policy::try_from(policy).map(Arc::new))?,
            all: names(&doc.all)?,
            services: keyed("services", &doc.services, |_, attached| names(attached))?,
            routes: keyed("routes", &doc.routes, |_, attached| names(attached))?,
        };
        policies.check().map_err(|problem| InvalidMessage::new("", problem))?;
        Ok(policies)
    }
}

impl From<&Policy> for PolicyDoc {
    fn from(policy: &Policy) -> Self {
        Self {
            rules: policy.rules.iter().map(Into::into).collect(),
            unless: policy.unless.iter().map(Into::into).collect(),
            action: (&policy.action).into(),
        }
    }
}

impl TryFrom<&PolicyDoc> for Policy {
    type Error = InvalidMessage;
    fn try_from(doc: &PolicyDoc) -> Checked<Self> {
        Ok(Self {
            rules: each("rules", &doc.rules, Condition::try_from)?,
            unless: each("unless", &doc.unless, Condition::try_from)?,
            action: (&doc.action).try_into().map_err(|error: InvalidMessage| error.within("action"))?,
        })
    }
}

impl From<&Condition> for ConditionDoc {
    fn from(condition: &Condition) -> Self {
        let Words { field, name, operator, values } = condition.into();
        Self { field, name, operator, values }
    }
}

impl TryFrom<&ConditionDoc> for Condition {
    type Error = InvalidMessage;
    fn try_from(doc: &ConditionDoc) -> Checked<Self> {
        let ConditionDoc { field, name, operator, values } = doc.clone();
        let words = Words { field, name, operator, values };
        words.read().map_err(|error| InvalidMessage::new("", error))
    }
}

impl From<&Action> for PolicyActionDoc {
    fn from(action: &Action) -> Self {
        match action {
            Action::Allow => Self::Allow,
            Action::Deny => Self::Deny,
            Action::RateLimit(limit) => Self::RateLimit {
                requests: limit.requests,
                per_ms: round_up(limit.per),
                burst: limit.burst,
                by: limit.by.words().0.to_owned(),
                header: limit.by.words().1.map(ToOwned::to_owned),
                shared: limit.shared,
            },
            Action::Retry { max_attempts } => Self::Retry { max_attempts: *max_attempts },
            Action::Timeout(timeout) => Self::Timeout { timeout_ms: round_up(*timeout) },
            Action::Mirror(it) => Self::Mirror { service: it.service.to_string(), percent: it.percent },
            Action::Fault(it) => {
                Self::Fault { delay_ms: it.delay.map(round_up), abort: it.abort, percent: it.percent }
            }
            Action::Headers(edits) => {
                Self::Headers { request: (&edits.request).into(), response: (&edits.response).into() }
            }
        }
    }
}

impl TryFrom<&PolicyActionDoc> for Action {
    type Error = InvalidMessage;
    fn try_from(doc: &PolicyActionDoc) -> Checked<Self> {
        Ok(match doc {
            PolicyActionDoc::Allow => Self::Allow,
            PolicyActionDoc::Deny => Self::Deny,
            PolicyActionDoc::RateLimit { requests, per_ms, burst, by, header, shared } => {
                let by = rate::By::read(by, header.as_deref());
                Self::RateLimit(rate::Limit {
                    requests: *requests,
                    per: Duration::from_millis(*per_ms),
                    burst: *burst,
                    by: by.map_err(|error| InvalidMessage::new("by", error))?,
                    shared: *shared,
                })
            }
            PolicyActionDoc::Retry { max_attempts } => Self::Retry { max_attempts: *max_attempts },
            PolicyActionDoc::Timeout { timeout_ms } => Self::Timeout(Duration::from_millis(*timeout_ms)),
            PolicyActionDoc::Mirror { service, percent } => {
                Self::Mirror(Mirror { service: parsed("service", service)?, percent: *percent })
            }
            PolicyActionDoc::Fault { delay_ms, abort, percent } => Self::Fault(Fault {
                delay: delay_ms.map(Duration::from_millis),
                abort: *abort,
                percent: *percent,
            }),
            PolicyActionDoc::Headers { request, response } => {
                Self::Headers(Edits { request: request.try_into()?, response: response.try_into()? })
            }
        })
    }
}

impl From<&HeaderEdits> for HeaderEditsDoc {
    fn from(edits: &HeaderEdits) -> Self {
        let pairs = |pairs: &[(HeaderName, String)]| {
            pairs.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
        };
        Self {
            remove: edits.remove.iter().map(ToString::to_string).collect(),
            set: pairs(&edits.set),
            add: pairs(&edits.add),
        }
    }
}

impl TryFrom<&HeaderEditsDoc> for HeaderEdits {
    type Error = InvalidMessage;
    fn try_from(doc: &HeaderEditsDoc) -> Checked<Self> {
        let pair = |(name, value): &(String, String)| Ok((parsed("", name)?, value.clone()));
        Ok(Self {
            remove: each("remove", &doc.remove, |name| parsed("", name))?,
            set: each("set", &doc.set, pair)?,
            add: each("add", &doc.add, pair)?,
        })
    }
}
