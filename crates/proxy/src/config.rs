//! What a data plane is told when it starts. What it serves comes later, in snapshots.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tenon_core::availability::Locality;

/// How a data plane is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaneConfig {
    /// How many worker threads there are; at least 1. One for each core is right for a machine of its own.
    pub workers: usize,
    /// Where `/metrics`, `/explain`, `/health` and `/snapshot` are served.
    pub admin: SocketAddr,
    /// How many requests are remembered, all workers together: so many that were refused, retried or failed, and so many
    /// others.
    pub explanations: usize,
    /// Where the access log is written, if the manifest wants one; without a file there is none.
    pub access_log: Option<PathBuf>,
    /// The folder where the certificates of workloads are kept, with their keys; nowhere if not stated.
    pub identities: Option<PathBuf>,
    /// What one connection or request may use.
    pub limits: Limits,
    /// Where it is, so that near instances can be preferred.
    pub locality: Locality,
}

impl Default for PlaneConfig {
    /// A worker for each core, admin on 127.0.0.1:7421, 10,000 explanations.
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            admin: SocketAddr::from(([127, 0, 0, 1], 7421)),
            explanations: 10_000,
            access_log: None,
            identities: None,
            limits: Limits::default(),
            locality: Locality::default(),
        }
    }
}

/// What one connection or request may use. Each is for one thing; a request's deadline comes from its route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's head; more is answered with 431. At least 8 KiB.
    pub head_bytes: usize,
    /// Bytes of a request line; more is answered with 414.
    pub line_bytes: usize,
    /// Header fields of a request; more is answered with 431.
    pub headers: usize,
    /// How long a connection may take for a request's head, waiting for its first byte included: it bounds slow
    /// senders and idle connections alike.
    pub head_timeout: Duration,
    /// How long a request's head may take from its first byte on; a slower one is answered with 408.
    pub head_begun: Duration,
    /// How long a client of the gateway that has closed its sending side is still answered over HTTP/1.1; then it counts as
    /// gone. That is how clients give up too, so it is short. An application that closes its side counts as gone at once.
    pub parting: Duration,
    /// How long a connection may take to show which protocol it speaks, before it is carried as plain bytes.
    pub detect_timeout: Duration,
    /// Connections to one listener at a time; more are closed at once.
    pub connections: u32,
    /// Requests of one HTTP/1.1 connection, which is closed after the last.
    pub requests: u64,
    /// How long a TLS handshake may take, waiting for its turn included.
    pub handshake_timeout: Duration,
    /// TLS handshakes that one worker does at a time; more wait.
    pub handshakes: usize,
    /// Streams of one HTTP/2 connection at a time.
    pub streams: u32,
    /// Bytes of a request's body that are remembered in case it must be sent again.
    pub replay_bytes: usize,
    /// Responses to idempotent requests whose length is known and no more than this are held until they are
    /// complete, so that an instance that dies halfway is not noticed.
    pub withhold_bytes: u64,
    /// How long a response's body, or a tunnel, may be silent.
    pub stream_idle: Duration,
    /// How long connecting to an instance may take.
    pub connect_timeout: Duration,
    /// Idle connections to one address that one worker keeps.
    pub idle_connections: usize,
    /// How long it keeps them. Below the 5 s after which Node closes its side, so that none is used as it closes.
    pub idle_timeout: Duration,
    /// How long a call may wait for an instance of a service that has none but should have; its deadline holds besides.
    /// Zero refuses such calls at once.
    pub hold: Duration,
    /// How long a removed listener's connections may still bring requests before they are closed between two.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            line_bytes: 16 * 1024,
            headers: 100,
            head_timeout: Duration::from_secs(75),
            head_begun: Duration::from_secs(10),
            parting: Duration::from_secs(1),
            detect_timeout: Duration::from_millis(500),
            connections: 10_000,
            requests: 1_000_000,
            handshake_timeout: Duration::from_secs(10),
            handshakes: 64,
            streams: 256,
            replay_bytes: 64 * 1024,
            withhold_bytes: 16 * 1024,
            stream_idle: Duration::from_secs(300),
            connect_timeout: Duration::from_secs(3),
            idle_connections: 128,
            idle_timeout: Duration::from_secs(4),
            hold: Duration::from_secs(2),
            drain: Duration::from_secs(5),
        }
    }
}
