//! How calls are treated, and the gateway.

mod breaker;
mod limits;
mod load;
mod outlier;

pub use breaker::{BreakerDoc, BreakerModeDoc, OutcomesDoc, SlowCallDoc, WindowDoc};
pub use limits::LimitsDoc;
pub use load::{ConcurrencyDoc, HedgeDoc, PriorityDoc, PriorityRulesDoc};
pub use outlier::{LatencyDoc, OutlierDoc, SuccessRateDoc};

use super::balancing::{self, BalancingDoc};
use super::{GatewayTlsDoc, SecurityDoc, keyed};
use crate::InvalidMessage;
use crate::invalid::{Checked, each, parsed};
use crate::mirror::mirror;
use crate::text::millis::round_up;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tenon_core::balance::Strategy;
use tenon_core::manifest::{Egress, Gateway, Security, Traffic, TrafficRules};
use tenon_core::retry::{Delay, Jitter, Policy, RetryOn, budget};
use tenon_core::route::{Backend, HeaderMatch, Match, PathMatch, QueryMatch, Route, Rule};

/// How calls are treated, by the service that is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrafficRulesDoc {
    /// What holds for services that have no entry of their own.
    pub default: TrafficDoc,
    /// Services with an entry of their own.
    pub services: BTreeMap<String, TrafficDoc>,
}

/// How calls to one service are treated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrafficDoc {
    /// How an instance is chosen.
    pub balance: BalanceDoc,
    /// What else is said of that; the defaults if null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balancing: Option<BalancingDoc>,
    /// How long a call may take with all its retries.
    pub timeout_ms: u64,
    /// When and how a failed call is tried again.
    pub retry: RetryDoc,
    /// How many retries all calls together may cause.
    pub retry_budget: RetryBudgetDoc,
    /// When to stop calling.
    pub breaker: BreakerDoc,
    /// The most requests in flight from one data plane.
    pub max_in_flight: u32,
    /// When a second try goes out beside a slow first one; never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedge: Option<HedgeDoc>,
    /// How a lower limit on requests in flight is found by itself; not at all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<ConcurrencyDoc>,
    /// Which calls are refused first; as the defaults have it if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<PriorityRulesDoc>,
    /// When to leave an instance out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlier: Option<OutlierDoc>,
    /// How much else may go on at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsDoc>,
    /// Who may call it; anybody of the mesh, by certificate, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<SecurityDoc>,
}

mirror! {
    /// How an instance is chosen.
    BalanceDoc of Strategy {
        /// Each in turn.
        RoundRobin,
        /// In proportion to weights.
        WeightedRoundRobin,
        /// Of some, the one with the fewest requests in flight for its weight.
        LeastRequests,
        /// Of all, the one with the fewest requests in flight for its weight.
        LeastConnections,
        /// Of some, the one with the least latency times requests in flight.
        PeakEwma,
        /// Any, with equal chances.
        Random,
        /// The same for the same key, on a ring.
        RingHash,
        /// The same for the same key, by Maglev's table.
        Maglev,
    }
}

/// When and how a failed call is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetryDoc {
    /// The most retries.
    pub max_retries: u32,
    /// How long to wait before each.
    pub delay: DelayDoc,
    /// How the wait varies.
    pub jitter: JitterDoc,
    /// The longest wait.
    pub max_delay_ms: u64,
    /// How long one try may take; as long as the call if null.
    pub per_try_timeout_ms: Option<u64>,
    /// Which outcomes are tried again.
    pub retry_on: RetryOnDoc,
    /// Whether requests that are not idempotent are tried again too.
    pub non_idempotent: bool,
    /// Whether an answer that says when to come back is believed.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub retry_after: bool,
}

/// How long to wait before a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DelayDoc {
    /// Always the same.
    Fixed {
        /// How long.
        delay_ms: u64,
    },
    /// `base`, then longer by `increment` each time.
    Linear {
        /// Before the first retry.
        base_ms: u64,
        /// What is added for each further one.
        increment_ms: u64,
    },
    /// `base`, then `factor` times as long each time.
    Exponential {
        /// Before the first retry.
        base_ms: u64,
        /// What each further one is multiplied by.
        factor: u32,
    },
}

mirror! {
    /// How a wait varies.
    JitterDoc of Jitter {
        /// Not at all.
        None,
        /// Anything from nothing to the whole.
        Full,
        /// Anything from the first delay to three times the wait before.
        Decorrelated,
    }
}

/// Which outcomes are tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetryOnDoc {
    /// No connection, or refused before it was processed.
    pub connect_failure: bool,
    /// The connection broke before an answer's head came.
    pub reset: bool,
    /// The try took too long.
    pub per_try_timeout: bool,
    /// HTTP statuses.
    pub statuses: Vec<u16>,
    /// gRPC statuses that come with no message before them.
    pub grpc_statuses: Vec<u8>,
}

/// How many retries all calls together may cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetryBudgetDoc {
    /// Retries for every 100 requests.
    pub percent: u32,
    /// Retries for every second besides.
    pub per_second: u32,
    /// The most retries that can be saved up.
    pub burst: u32,
}

mirror! {
    /// Whether services may call names outside the mesh.
    EgressDoc of Egress {
        /// They may not.
        Deny,
        /// They may.
        Allow,
    }
}

/// The single entry point from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GatewayDoc {
    /// Where it listens, `ip:port`.
    pub listen: String,
    /// Whether a balancer in front says, by the PROXY protocol, whom each connection comes from.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proxy_protocol: bool,
    /// Its routes.
    pub routes: Vec<RouteDoc>,
    /// How it speaks TLS, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<GatewayTlsDoc>,
}

/// Rules for requests to some hostnames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteDoc {
    /// Its name.
    pub name: String,
    /// Which hosts it is for; every host if empty.
    pub hostnames: Vec<String>,
    /// What is done with which request.
    pub rules: Vec<RuleDoc>,
}

/// Where requests go that one of the matches holds for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleDoc {
    /// Which requests; every one if empty.
    pub matches: Vec<MatchDoc>,
    /// Where they go.
    pub backends: Vec<BackendDoc>,
    /// How long a request may take in all; what holds for its service if null.
    pub timeout_ms: Option<u64>,
}

/// A condition on a request: all its parts must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MatchDoc {
    /// Its path.
    pub path: PathMatchDoc,
    /// Its method; any if null.
    pub method: Option<String>,
    /// Headers that it must have.
    pub headers: Vec<NameAndValueDoc>,
    /// Query parameters that it must have.
    pub query: Vec<NameAndValueDoc>,
}

/// A condition on a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PathMatchDoc {
    /// The path is this.
    Exact(String),
    /// The path begins with these segments.
    Prefix(String),
}

/// A header or a query parameter with its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NameAndValueDoc {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A service that requests go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackendDoc {
    /// The service, `service[.namespace]`.
    pub service: String,
    /// Its share of the requests against the others'.
    pub weight: u32,
    /// Which of its instances: those with this metadata; what its traffic says if empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub subset: BTreeMap<String, String>,
}

impl From<&TrafficRules> for TrafficRulesDoc {
    fn from(rules: &TrafficRules) -> Self {
        Self {
            default: (&rules.default).into(),
            services: rules
                .services
                .iter()
                .map(|(name, traffic)| (name.to_string(), traffic.into()))
                .collect(),
        }
    }
}

impl TryFrom<&TrafficRulesDoc> for TrafficRules {
    type Error = InvalidMessage;
    fn try_from(doc: &TrafficRulesDoc) -> Checked<Self> {
        let services = keyed("services", &doc.services, |_, traffic| traffic.try_into())?;
        let default = (&doc.default).try_into().map_err(|error: InvalidMessage| error.within("default"))?;
        Ok(Self { default, services })
    }
}

impl From<&Traffic> for TrafficDoc {
    fn from(traffic: &Traffic) -> Self {
        Self {
            balance: traffic.balance.strategy.into(),
            balancing: BalancingDoc::stated(&traffic.balance),
            timeout_ms: round_up(traffic.timeout),
            retry: (&traffic.retry).into(),
            retry_budget: RetryBudgetDoc {
                percent: traffic.budget.percent,
                per_second: traffic.budget.per_second,
                burst: traffic.budget.burst,
            },
            breaker: (&traffic.breaker).into(),
            max_in_flight: traffic.max_in_flight,
            hedge: traffic.hedge.as_ref().map(Into::into),
            concurrency: traffic.concurrency.as_ref().map(Into::into),
            priority: Some((&traffic.priority).into()).filter(|rules| *rules != PriorityRulesDoc::default()),
            outlier: outlier::stated(&traffic.outlier),
            limits: limits::stated(traffic.limits),
            security: (traffic.security != Security::default()).then(|| traffic.security.into()),
        }
    }
}

impl TryFrom<&TrafficDoc> for Traffic {
    type Error = InvalidMessage;
    fn try_from(doc: &TrafficDoc) -> Checked<Self> {
        Ok(Self {
            balance: balancing::config(doc.balance.into(), doc.balancing.as_ref())?,
            timeout: Duration::from_millis(doc.timeout_ms),
            retry: (&doc.retry).into(),
            budget: budget::Config {
                percent: doc.retry_budget.percent,
                per_second: doc.retry_budget.per_second,
                burst: doc.retry_budget.burst,
            },
            breaker: (&doc.breaker).into(),
            max_in_flight: doc.max_in_flight,
            hedge: doc.hedge.as_ref().map(Into::into),
            concurrency: doc.concurrency.as_ref().map(Into::into),
            priority: doc.priority.as_ref().map(Into::into).unwrap_or_default(),
            outlier: outlier::meant(doc.outlier),
            limits: limits::meant(doc.limits),
            security: doc.security.map(Into::into).unwrap_or_default(),
        })
    }
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_yes(it: &bool) -> bool {
    *it
}

impl From<&Policy> for RetryDoc {
    fn from(policy: &Policy) -> Self {
        Self {
            max_retries: policy.max_retries,
            delay: policy.delay.into(),
            jitter: policy.jitter.into(),
            max_delay_ms: round_up(policy.max_delay),
            per_try_timeout_ms: policy.per_try_timeout.map(round_up),
            retry_on: RetryOnDoc {
                connect_failure: policy.retry_on.connect_failure,
                reset: policy.retry_on.reset,
                per_try_timeout: policy.retry_on.per_try_timeout,
                statuses: policy.retry_on.statuses.clone(),
                grpc_statuses: policy.retry_on.grpc_statuses.clone(),
            },
            non_idempotent: policy.non_idempotent,
            retry_after: policy.retry_after,
        }
    }
}

impl From<&RetryDoc> for Policy {
    fn from(doc: &RetryDoc) -> Self {
        Self {
            max_retries: doc.max_retries,
            delay: doc.delay.into(),
            jitter: doc.jitter.into(),
            max_delay: Duration::from_millis(doc.max_delay_ms),
            per_try_timeout: doc.per_try_timeout_ms.map(Duration::from_millis),
            retry_on: RetryOn {
                connect_failure: doc.retry_on.connect_failure,
                reset: doc.retry_on.reset,
                per_try_timeout: doc.retry_on.per_try_timeout,
                statuses: doc.retry_on.statuses.clone(),
                grpc_statuses: doc.retry_on.grpc_statuses.clone(),
            },
            non_idempotent: doc.non_idempotent,
            retry_after: doc.retry_after,
        }
    }
}

impl From<Delay> for DelayDoc {
    fn from(delay: Delay) -> Self {
        match delay {
            Delay::Fixed(delay) => Self::Fixed { delay_ms: round_up(delay) },
            Delay::Linear { base, increment } => {
                Self::Linear { base_ms: round_up(base), increment_ms: round_up(increment) }
            }
            Delay::Exponential { base, factor } => Self::Exponential { base_ms: round_up(base), factor },
        }
    }
}

impl From<DelayDoc> for Delay {
    fn from(doc: DelayDoc) -> Self {
        match doc {
            DelayDoc::Fixed { delay_ms } => Self::Fixed(Duration::from_millis(delay_ms)),
            DelayDoc::Linear { base_ms, increment_ms } => Self::Linear {
                base: Duration::from_millis(base_ms),
                increment: Duration::from_millis(increment_ms),
            },
            DelayDoc::Exponential { base_ms, factor } => {
                Self::Exponential { base: Duration::from_millis(base_ms), factor }
            }
        }
    }
}

impl From<&Gateway> for GatewayDoc {
    fn from(gateway: &Gateway) -> Self {
        Self {
            listen: gateway.listen.to_string(),
            proxy_protocol: gateway.proxy_protocol,
            tls: gateway.tls.as_ref().map(Into::into),
            routes: gateway.routes.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<&GatewayDoc> for Gateway {
    type Error = InvalidMessage;
    fn try_from(doc: &GatewayDoc) -> Checked<Self> {
        let listen = parsed("listen", &doc.listen)?;
        let tls =
            doc.tls.as_ref().map(|tls| tls.try_into().map_err(|error: InvalidMessage| error.within("tls")));
        let routes = each("routes", &doc.routes, Route::try_from)?;
        Ok(Self { listen, proxy_protocol: doc.proxy_protocol, routes, tls: tls.transpose()? })
    }
}

impl From<&Route> for RouteDoc {
    fn from(route: &Route) -> Self {
        Self {
            name: route.name.to_string(),
            hostnames: route.hostnames.iter().map(ToString::to_string).collect(),
            rules: route.rules.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<&RouteDoc> for Route {
    type Error = InvalidMessage;
    fn try_from(doc: &RouteDoc) -> Checked<Self> {
        Ok(Self {
            name: parsed("name", &doc.name)?,
            hostnames: each("hostnames", &doc.hostnames, |hostname| parsed("", hostname))?,
            rules: each("rules", &doc.rules, Rule::try_from)?,
        })
    }
}

impl From<&Rule> for RuleDoc {
    fn from(rule: &Rule) -> Self {
        let backend = |it: &Backend| BackendDoc {
            service: it.service.to_string(),
            weight: it.weight,
            subset: it.subset.pairs().clone(),
        };
        Self {
            matches: rule.matches.iter().map(Into::into).collect(),
            backends: rule.backends.iter().map(backend).collect(),
            timeout_ms: rule.timeout.map(round_up),
        }
    }
}

impl TryFrom<&RuleDoc> for Rule {
    type Error = InvalidMessage;
    fn try_from(doc: &RuleDoc) -> Checked<Self> {
        let backend = |it: &BackendDoc| {
            let subset = balancing::subset(&it.subset)?;
            Ok(Backend { service: parsed("service", &it.service)?, weight: it.weight, subset })
        };
        Ok(Self {
            matches: each("matches", &doc.matches, Match::try_from)?,
            backends: each("backends", &doc.backends, backend)?,
            timeout: doc.timeout_ms.map(Duration::from_millis),
        })
    }
}

impl From<&Match> for MatchDoc {
    fn from(own: &Match) -> Self {
        let pair = |name: &str, value: &str| NameAndValueDoc { name: name.into(), value: value.into() };
        Self {
            path: match &own.path {
                PathMatch::Exact(path) => PathMatchDoc::Exact(path.to_string()),
                PathMatch::Prefix(path) => PathMatchDoc::Prefix(path.to_string()),
            },
            method: own.method.as_ref().map(ToString::to_string),
            headers: own.headers.iter().map(|it| pair(it.name.as_str(), &it.value)).collect(),
            query: own.query.iter().map(|it| pair(&it.name, &it.value)).collect(),
        }
    }
}

impl TryFrom<&MatchDoc> for Match {
    type Error = InvalidMessage;
    fn try_from(doc: &MatchDoc) -> Checked<Self> {
        let header = |it: &NameAndValueDoc| {
            Ok(HeaderMatch { name: parsed("name", &it.name)?, value: it.value.clone() })
        };
        let query = |it: &NameAndValueDoc| QueryMatch { name: it.name.clone(), value: it.value.clone() };
        Ok(Self {
            path: match &doc.path {
                PathMatchDoc::Exact(path) => PathMatch::Exact(parsed("path", path)?),
                PathMatchDoc::Prefix(path) => PathMatch::Prefix(parsed("path", path)?),
            },
            method: doc.method.as_ref().map(|method| parsed("method", method)).transpose()?,
            headers: each("headers", &doc.headers, header)?,
            query: doc.query.iter().map(query).collect(),
        })
    }
}
