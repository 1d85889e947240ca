//! Whether an instance can be relied upon, from what checks say.

use std::time::Duration;

/// How an instance is checked, and what follows from the answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Config {
    /// What is asked.
    pub check: Check,
    /// How long from one check to the next, once the instance has been healthy.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Consecutive failures that make a healthy instance unhealthy.
    pub unhealthy_threshold: u32,
    /// Consecutive successes that make an unhealthy instance healthy again.
    pub healthy_threshold: u32,
    /// How long an instance may stay unhealthy before it is deregistered; never if not stated.
    pub deregister_after: Option<Duration>,
}

impl Default for Config {
    /// `GET /health` every 30 s with 5 s to answer; 3 failures and 2 successes count.
    fn default() -> Self {
        Self {
            check: Check::Http { path: "/health".into() },
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            unhealthy_threshold: 3,
            healthy_threshold: 2,
            deregister_after: None,
        }
    }
}

/// What a check asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Check {
    /// `GET path`; any 2xx status is healthy.
    Http {
        /// The path with its query.
        path: String,
    },
    /// `grpc.health.v1.Health/Check`; `SERVING` is healthy.
    Grpc {
        /// The service asked about; empty for the whole server.
        service: String,
    },
    /// A TCP connection; being accepted is healthy.
    Tcp,
    /// No question: the instance sends heartbeats, and silence for this long is a failure.
    Ttl {
        /// How long a heartbeat holds.
        ttl: Duration,
    },
}

/// What is believed of an instance.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Not yet checked.
    #[default]
    Unknown,
    /// It answers.
    Healthy,
    /// It does not.
    Unhealthy,
}
