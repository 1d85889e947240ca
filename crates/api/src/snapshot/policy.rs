//! Policies and what they are attached to, in both directions.

use super::encode::micros;
use crate::InvalidMessage;
use crate::invalid::{Checked, distinct, each, narrowed, nested, parsed, required};
use crate::proto::snapshot::v1;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tenon_core::policy::{Action, Condition, Edits, Fault, HeaderEdits, Mirror, Policies, Policy, Words};
use tenon_core::route::HeaderName;
use tenon_core::{PolicyName, rate};
use v1::policy::Action as Message;

impl From<&Policies> for v1::Policies {
    fn from(policies: &Policies) -> Self {
        let names = |names: &BTreeSet<PolicyName>| names.iter().map(ToString::to_string).collect();
        let services = policies.services.iter().map(|(service, attached)| v1::ServicePolicies {
            service: Some(service.into()),
            policies: names(attached),
        });
        let routes = policies.routes.iter().map(|(route, attached)| v1::RoutePolicies {
            route: route.to_string(),
            policies: names(attached),
        });
        Self {
            named: policies.named.iter().map(|(name, policy)| named(name, policy)).collect(),
            all: names(&policies.all),
            services: services.collect(),
            routes: routes.collect(),
        }
    }
}

impl TryFrom<v1::Policies> for Policies {
    type Error = InvalidMessage;
    fn try_from(message: v1::Policies) -> Checked<Self> {
        let names = |names: Vec<String>| each("policies", names, |name| parsed("", &name));
        let policies = Self {
            named: distinct("named", message.named, |it| {
                Ok((parsed("name", &it.name)?, Arc::new(Policy::try_from(it)?)))
            })?,
            all: names(message.all)?,
            services: distinct("services", message.services, |it| {
                Ok((nested("service", it.service)?, names(it.policies)?))
            })?,
            routes: distinct("routes", message.routes, |it| {
                Ok((parsed("route", &it.route)?, names(it.policies)?))
            })?,
        };
        policies.check().map_err(|problem| InvalidMessage::new("", problem))?;
        Ok(policies)
    }
}

fn named(name: &PolicyName, policy: &Policy) -> v1::Policy {
    v1::Policy {
        name: name.to_string(),
        rules: policy.rules.iter().map(Into::into).collect(),
        unless: policy.unless.iter().map(Into::into).collect(),
        action: Some((&policy.action).into()),
    }
}

impl TryFrom<v1::Policy> for Policy {
    type Error = InvalidMessage;
    fn try_from(message: v1::Policy) -> Checked<Self> {
        Ok(Self {
            rules: each("rules", message.rules, Condition::try_from)?,
            unless: each("unless", message.unless, Condition::try_from)?,
            action: required("action", message.action)?.try_into()?,
        })
    }
}

impl From<&Condition> for v1::Condition {
    fn from(condition: &Condition) -> Self {
        let Words { field, name, operator, values } = condition.into();
        Self { field, name, operator, values }
    }
}

impl TryFrom<v1::Condition> for Condition {
    type Error = InvalidMessage;
    fn try_from(message: v1::Condition) -> Checked<Self> {
        let v1::Condition { field, name, operator, values } = message;
        let words = Words { field, name, operator, values };
        words.read().map_err(|error| InvalidMessage::new("", error))
    }
}

impl From<&Action> for Message {
    fn from(action: &Action) -> Self {
        match action {
            Action::Allow => Self::Allow(v1::Allow {}),
            Action::Deny => Self::Deny(v1::Deny {}),
            Action::RateLimit(limit) => Self::RateLimit(v1::RateLimit {
                requests: limit.requests,
                per_micros: micros(limit.per),
                burst: limit.burst,
                by: limit.by.words().0.to_owned(),
                header: limit.by.words().1.map(ToOwned::to_owned),
                shared: limit.shared,
            }),
            Action::Retry { max_attempts } => Self::MaxAttempts(*max_attempts),
            Action::Timeout(timeout) => Self::TimeoutMicros(micros(*timeout)),
            Action::Mirror(mirror) => Self::Mirror(v1::Mirror {
                service: Some((&mirror.service).into()),
                percent: mirror.percent.into(),
            }),
            Action::Fault(fault) => Self::Fault(v1::Fault {
                delay_micros: fault.delay.map(micros),
                abort: fault.abort.map(Into::into),
                percent: fault.percent.into(),
            }),
            Action::Headers(edits) => Self::Headers(v1::Edits {
                request: Some((&edits.request).into()),
                response: Some((&edits.response).into()),
            }),
        }
    }
}

impl TryFrom<Message> for Action {
    type Error = InvalidMessage;
    fn try_from(message: Message) -> Checked<Self> {
        Ok(match message {
            Message::Allow(v1::Allow {}) => Self::Allow,
            Message::Deny(v1::Deny {}) => Self::Deny,
            Message::RateLimit(limit) => Self::RateLimit(limit.try_into()?),
            Message::MaxAttempts(max_attempts) => Self::Retry { max_attempts },
            Message::TimeoutMicros(micros) => Self::Timeout(Duration::from_micros(micros)),
            Message::Mirror(mirror) => Self::Mirror(Mirror {
                service: nested("service", mirror.service)?,
                percent: narrowed("percent", mirror.percent)?,
            }),
            Message::Fault(fault) => Self::Fault(Fault {
                delay: fault.delay_micros.map(Duration::from_micros),
                abort: fault.abort.map(|status| narrowed("abort", status)).transpose()?,
                percent: narrowed("percent", fault.percent)?,
            }),
            Message::Headers(edits) => Self::Headers(Edits {
                request: nested("request", edits.request)?,
                response: nested("response", edits.response)?,
            }),
        })
    }
}

impl TryFrom<v1::RateLimit> for rate::Limit {
    type Error = InvalidMessage;
    fn try_from(message: v1::RateLimit) -> Checked<Self> {
        let by = rate::By::read(&message.by, message.header.as_deref());
        Ok(Self {
            requests: message.requests,
            per: Duration::from_micros(message.per_micros),
            burst: message.burst,
            by: by.map_err(|error| InvalidMessage::new("by", error))?,
            shared: message.shared,
        })
    }
}

impl From<&HeaderEdits> for v1::HeaderEdits {
    fn from(edits: &HeaderEdits) -> Self {
        let pair = |(name, value): &(HeaderName, String)| v1::NameAndValue {
            name: name.to_string(),
            value: value.clone(),
        };
        Self {
            remove: edits.remove.iter().map(ToString::to_string).collect(),
            set: edits.set.iter().map(pair).collect(),
            add: edits.add.iter().map(pair).collect(),
        }
    }
}

impl TryFrom<v1::HeaderEdits> for HeaderEdits {
    type Error = InvalidMessage;
    fn try_from(message: v1::HeaderEdits) -> Checked<Self> {
        let pair = |it: v1::NameAndValue| Ok((parsed("name", &it.name)?, it.value));
        Ok(Self {
            remove: each("remove", message.remove, |name| parsed("", &name))?,
            set: each("set", message.set, pair)?,
            add: each("add", message.add, pair)?,
        })
    }
}
