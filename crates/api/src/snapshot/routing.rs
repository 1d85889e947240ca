//! How calls are treated and where the gateway sends them, in both directions.

use super::balancing;
use super::encode::micros;
use crate::InvalidMessage;
use crate::invalid::{Checked, each, narrowed, nested, optional, parsed, required, stated};
use crate::proto::snapshot::v1;
use std::time::Duration;
use tenon_core::balance::Strategy;
use tenon_core::manifest::{Egress, Gateway, Traffic};
use tenon_core::retry::budget;
use tenon_core::retry::{Delay, Jitter, Policy, RetryOn};
use tenon_core::route::{Backend, HeaderMatch, Match, PathMatch, QueryMatch, Route, Rule};

impl From<Egress> for v1::Egress {
    fn from(egress: Egress) -> Self {
        match egress {
            Egress::Deny => Self::Deny,
            Egress::Allow => Self::Allow,
        }
    }
}

impl v1::Egress {
    pub(super) fn known(self) -> Option<Egress> {
        match self {
            Self::Unspecified => None,
            Self::Deny => Some(Egress::Deny),
            Self::Allow => Some(Egress::Allow),
        }
    }
}

impl From<Strategy> for v1::Balance {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::RoundRobin => Self::RoundRobin,
            Strategy::WeightedRoundRobin => Self::WeightedRoundRobin,
            Strategy::LeastRequests => Self::LeastRequests,
            Strategy::LeastConnections => Self::LeastConnections,
            Strategy::PeakEwma => Self::PeakEwma,
            Strategy::Random => Self::Random,
            Strategy::RingHash => Self::RingHash,
            Strategy::Maglev => Self::Maglev,
        }
    }
}

impl v1::Balance {
    fn known(self) -> Option<Strategy> {
        match self {
            Self::Unspecified => None,
            Self::RoundRobin => Some(Strategy::RoundRobin),
            Self::WeightedRoundRobin => Some(Strategy::WeightedRoundRobin),
            Self::LeastRequests => Some(Strategy::LeastRequests),
            Self::LeastConnections => Some(Strategy::LeastConnections),
            Self::PeakEwma => Some(Strategy::PeakEwma),
            Self::Random => Some(Strategy::Random),
            Self::RingHash => Some(Strategy::RingHash),
            Self::Maglev => Some(Strategy::Maglev),
        }
    }
}

impl From<Jitter> for v1::Jitter {
    fn from(jitter: Jitter) -> Self {
        match jitter {
            Jitter::None => Self::None,
            Jitter::Full => Self::Full,
            Jitter::Decorrelated => Self::Decorrelated,
        }
    }
}

impl v1::Jitter {
    fn known(self) -> Option<Jitter> {
        match self {
            Self::Unspecified => None,
            Self::None => Some(Jitter::None),
            Self::Full => Some(Jitter::Full),
            Self::Decorrelated => Some(Jitter::Decorrelated),
        }
    }
}

impl From<&Traffic> for v1::Traffic {
    fn from(traffic: &Traffic) -> Self {
        Self {
            balance: v1::Balance::from(traffic.balance.strategy).into(),
            balancing: balancing::stated(&traffic.balance),
            timeout_micros: micros(traffic.timeout),
            retry: Some((&traffic.retry).into()),
            budget: Some((&traffic.budget).into()),
            breaker: Some((&traffic.breaker).into()),
            max_in_flight: traffic.max_in_flight,
            hedge: traffic.hedge.map(Into::into),
            concurrency: traffic.concurrency.map(Into::into),
            priority: Some(traffic.priority.into()),
            outlier: Some((&traffic.outlier).into()),
            limits: Some(traffic.limits.into()),
            security: Some(traffic.security.into()),
        }
    }
}

impl TryFrom<v1::Traffic> for Traffic {
    type Error = InvalidMessage;
    fn try_from(message: v1::Traffic) -> Checked<Self> {
        Ok(Self {
            balance: balancing::config(
                stated("balance", message.balance, v1::Balance::known)?,
                message.balancing,
            )?,
            timeout: Duration::from_micros(message.timeout_micros),
            retry: nested("retry", message.retry)?,
            budget: required("budget", message.budget)?.into(),
            breaker: nested("breaker", message.breaker)?,
            max_in_flight: message.max_in_flight,
            hedge: optional("hedge", message.hedge)?,
            concurrency: message.concurrency.map(Into::into),
            priority: optional("priority", message.priority)?.unwrap_or_default(),
            outlier: message.outlier.map(Into::into).unwrap_or_default(),
            limits: message.limits.map(Into::into).unwrap_or_default(),
            security: optional("security", message.security)?.unwrap_or_default(),
        })
    }
}

impl From<&Policy> for v1::RetryPolicy {
    fn from(policy: &Policy) -> Self {
        Self {
            max_retries: policy.max_retries,
            delay: Some(policy.delay.into()),
            jitter: v1::Jitter::from(policy.jitter).into(),
            max_delay_micros: micros(policy.max_delay),
            per_try_timeout_micros: policy.per_try_timeout.map(micros),
            retry_on: Some((&policy.retry_on).into()),
            non_idempotent: policy.non_idempotent,
            ignore_retry_after: !policy.retry_after,
        }
    }
}

impl TryFrom<v1::RetryPolicy> for Policy {
    type Error = InvalidMessage;
    fn try_from(message: v1::RetryPolicy) -> Checked<Self> {
        Ok(Self {
            max_retries: message.max_retries,
            delay: required("delay", message.delay)?.into(),
            jitter: stated("jitter", message.jitter, v1::Jitter::known)?,
            max_delay: Duration::from_micros(message.max_delay_micros),
            per_try_timeout: message.per_try_timeout_micros.map(Duration::from_micros),
            retry_on: nested("retry_on", message.retry_on)?,
            non_idempotent: message.non_idempotent,
            retry_after: !message.ignore_retry_after,
        })
    }
}

impl From<Delay> for v1::retry_policy::Delay {
    fn from(delay: Delay) -> Self {
        match delay {
            Delay::Fixed(delay) => Self::Fixed(v1::FixedDelay { delay_micros: micros(delay) }),
            Delay::Linear { base, increment } => Self::Linear(v1::LinearDelay {
                base_micros: micros(base),
                increment_micros: micros(increment),
            }),
            Delay::Exponential { base, factor } => {
                Self::Exponential(v1::ExponentialDelay { base_micros: micros(base), factor })
            }
        }
    }
}

impl From<v1::retry_policy::Delay> for Delay {
    fn from(message: v1::retry_policy::Delay) -> Self {
        use v1::retry_policy::Delay as Message;
        match message {
            Message::Fixed(fixed) => Self::Fixed(Duration::from_micros(fixed.delay_micros)),
            Message::Linear(linear) => Self::Linear {
                base: Duration::from_micros(linear.base_micros),
                increment: Duration::from_micros(linear.increment_micros),
            },
            Message::Exponential(exponential) => Self::Exponential {
                base: Duration::from_micros(exponential.base_micros),
                factor: exponential.factor,
            },
        }
    }
}

impl From<&RetryOn> for v1::RetryOn {
    fn from(retry_on: &RetryOn) -> Self {
        Self {
            connect_failure: retry_on.connect_failure,
            reset: retry_on.reset,
            per_try_timeout: retry_on.per_try_timeout,
            statuses: retry_on.statuses.iter().copied().map(u32::from).collect(),
            grpc_statuses: retry_on.grpc_statuses.iter().copied().map(u32::from).collect(),
        }
    }
}

impl TryFrom<v1::RetryOn> for RetryOn {
    type Error = InvalidMessage;
    fn try_from(message: v1::RetryOn) -> Checked<Self> {
        Ok(Self {
            connect_failure: message.connect_failure,
            reset: message.reset,
            per_try_timeout: message.per_try_timeout,
            statuses: each("statuses", message.statuses, |status| narrowed("", status))?,
            grpc_statuses: each("grpc_statuses", message.grpc_statuses, |status| narrowed("", status))?,
        })
    }
}

impl From<&budget::Config> for v1::RetryBudget {
    fn from(config: &budget::Config) -> Self {
        Self { percent: config.percent, per_second: config.per_second, burst: config.burst }
    }
}

impl From<v1::RetryBudget> for budget::Config {
    fn from(message: v1::RetryBudget) -> Self {
        Self { percent: message.percent, per_second: message.per_second, burst: message.burst }
    }
}

impl From<&Gateway> for v1::Gateway {
    fn from(gateway: &Gateway) -> Self {
        Self {
            listen: gateway.listen.to_string(),
            routes: gateway.routes.iter().map(Into::into).collect(),
            proxy_protocol: gateway.proxy_protocol,
            tls: gateway.tls.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::Gateway> for Gateway {
    type Error = InvalidMessage;
    fn try_from(message: v1::Gateway) -> Checked<Self> {
        let listen = parsed("listen", &message.listen)?;
        let routes = each("routes", message.routes, Route::try_from)?;
        Ok(Self {
            listen,
            proxy_protocol: message.proxy_protocol,
            routes,
            tls: optional("tls", message.tls)?,
        })
    }
}

impl From<&Route> for v1::Route {
    fn from(route: &Route) -> Self {
        Self {
            name: route.name.to_string(),
            hostnames: route.hostnames.iter().map(ToString::to_string).collect(),
            rules: route.rules.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::Route> for Route {
    type Error = InvalidMessage;
    fn try_from(message: v1::Route) -> Checked<Self> {
        Ok(Self {
            name: parsed("name", &message.name)?,
            hostnames: each("hostnames", message.hostnames, |hostname| parsed("", &hostname))?,
            rules: each("rules", message.rules, Rule::try_from)?,
        })
    }
}

impl From<&Rule> for v1::Rule {
    fn from(rule: &Rule) -> Self {
        let backend = |it: &Backend| v1::Backend {
            service: Some((&it.service).into()),
            weight: it.weight,
            subset: balancing::pairs(&it.subset),
        };
        Self {
            matches: rule.matches.iter().map(Into::into).collect(),
            backends: rule.backends.iter().map(backend).collect(),
            timeout_micros: rule.timeout.map(micros),
        }
    }
}

impl TryFrom<v1::Rule> for Rule {
    type Error = InvalidMessage;
    fn try_from(message: v1::Rule) -> Checked<Self> {
        let backend = |it: v1::Backend| {
            let subset = balancing::subset(it.subset)?;
            Ok(Backend { service: nested("service", it.service)?, weight: it.weight, subset })
        };
        Ok(Self {
            matches: each("matches", message.matches, Match::try_from)?,
            backends: each("backends", message.backends, backend)?,
            timeout: message.timeout_micros.map(Duration::from_micros),
        })
    }
}

impl From<&Match> for v1::Match {
    fn from(own: &Match) -> Self {
        let pair = |name: &str, value: &str| v1::NameAndValue { name: name.into(), value: value.into() };
        Self {
            path: Some(match &own.path {
                PathMatch::Exact(path) => v1::r#match::Path::Exact(path.to_string()),
                PathMatch::Prefix(path) => v1::r#match::Path::Prefix(path.to_string()),
            }),
            method: own.method.as_ref().map(|method| method.as_str().into()),
            headers: own.headers.iter().map(|it| pair(it.name.as_str(), &it.value)).collect(),
            query: own.query.iter().map(|it| pair(&it.name, &it.value)).collect(),
        }
    }
}

impl TryFrom<v1::Match> for Match {
    type Error = InvalidMessage;
    fn try_from(message: v1::Match) -> Checked<Self> {
        let path = match required("path", message.path)? {
            v1::r#match::Path::Exact(path) => PathMatch::Exact(parsed("exact", &path)?),
            v1::r#match::Path::Prefix(path) => PathMatch::Prefix(parsed("prefix", &path)?),
        };
        let header =
            |it: v1::NameAndValue| Ok(HeaderMatch { name: parsed("name", &it.name)?, value: it.value });
        Ok(Self {
            path,
            method: message.method.map(|method| parsed("method", &method)).transpose()?,
            headers: each("headers", message.headers, header)?,
            query: each("query", message.query, |it| Ok(QueryMatch { name: it.name, value: it.value }))?,
        })
    }
}
