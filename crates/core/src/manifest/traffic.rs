//! What a manifest says of calls between services and through the gateway.

use super::{GatewayTls, Security};
use crate::{balance, breaker, concurrency, hedge, limit, outlier, priority, retry, route};
use std::net::SocketAddr;
use std::time::Duration;

/// How calls to one service are treated by the sidecar of whoever calls it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Traffic {
    /// How an instance is chosen.
    pub balance: balance::Config,
    /// How long a call may take with all its retries; a caller's shorter deadline wins.
    pub timeout: Duration,
    /// When and how a failed call is tried again.
    pub retry: retry::Policy,
    /// How many retries all calls together may cause.
    pub budget: retry::budget::Config,
    /// When to stop calling.
    pub breaker: breaker::Config,
    /// When to leave an instance out.
    pub outlier: outlier::Config,
    /// The most requests in flight to the service from one data plane; more are refused at once.
    pub max_in_flight: u32,
    /// When a second try goes out beside a slow first one; never if not stated.
    pub hedge: Option<hedge::Policy>,
    /// How a lower limit on requests in flight is found by itself; `max_in_flight` alone holds if not stated.
    pub concurrency: Option<concurrency::Config>,
    /// Which calls are refused first when those limits come near.
    pub priority: priority::Rules,
    /// How much else may go on at once.
    pub limits: limit::Config,
    /// Who may call it, and how they show who they are.
    pub security: Security,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            balance: balance::Config::default(),
            timeout: Duration::from_secs(30),
            retry: retry::Policy::default(),
            budget: retry::budget::Config::default(),
            breaker: breaker::Config::default(),
            outlier: outlier::Config::default(),
            max_in_flight: 10_000,
            hedge: None,
            concurrency: None,
            priority: priority::Rules::default(),
            limits: limit::Config::default(),
            security: Security::default(),
        }
    }
}

/// Whether services may call names outside the mesh.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Egress {
    /// They may not; such a call is refused with `mesh.egress-denied`.
    #[default]
    Deny,
    /// They may; the call is passed on as it is.
    Allow,
}

/// The single entry point from outside.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Gateway {
    /// Where it listens; `127.0.0.1:8080` unless stated.
    pub listen: SocketAddr,
    /// Whether a balancer in front says, by the PROXY protocol, whom each connection comes from.
    pub proxy_protocol: bool,
    /// Its routes.
    pub routes: Vec<route::Route>,
    /// How it speaks TLS, if it does.
    pub tls: Option<GatewayTls>,
}
