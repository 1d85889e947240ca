//! The one list of error codes, and what each means to HTTP, gRPC and a shell.
//!
//! A code is stable: programs may depend on it. Its text is `area.reason`, and its documentation is at
//! `docs/errors.md#area-reason`.

use std::fmt;

/// What kind of failure a code is; decides its HTTP status, gRPC status and exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Invalid,
    Unauthenticated,
    ProxyUnauthenticated,
    Forbidden,
    NotFound,
    Conflict,
    Stale,
    TooLarge,
    TargetTooLong,
    HeadTooLarge,
    TooSlow,
    OtherVersion,
    BadGateway,
    Unavailable,
    Timeout,
    Full,
    TooMany,
    Internal,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal => $kind:ident,)*) => {
        /// Why something was refused or failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable text of the code, `area.reason`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)* }
            }
        }
    };
}

codes! {
    /// The request's body, query or header is malformed.
    RequestInvalid = "request.invalid" => Invalid,
    /// No such path or method.
    RequestUnknown = "request.unknown" => NotFound,
    /// The body is larger than is accepted.
    RequestTooLarge = "request.too-large" => TooLarge,
    /// The head (request line and headers) is larger than is accepted.
    RequestHeadTooLarge = "request.head-too-large" => HeadTooLarge,
    /// The request line is longer than is accepted.
    RequestTargetTooLong = "request.target-too-long" => TargetTooLong,
    /// The bytes are no HTTP, or could be read in two ways.
    RequestMalformed = "request.malformed" => Invalid,
    /// The version of HTTP is not one that is spoken here.
    RequestVersion = "request.version" => OtherVersion,
    /// The request's body did not come in time.
    RequestTooSlow = "request.too-slow" => TooSlow,
    /// No token, or a wrong one.
    AccessUnauthenticated = "access.unauthenticated" => Unauthenticated,
    /// The token is good but does not permit this.
    AccessForbidden = "access.forbidden" => Forbidden,
    /// The `Host` or `Origin` header is not one this server answers to.
    AccessOrigin = "access.origin" => Forbidden,
    /// The manifest has errors; nothing was applied.
    ManifestInvalid = "manifest.invalid" => Invalid,
    /// The manifest cannot be read.
    ManifestUnreadable = "manifest.unreadable" => NotFound,
    /// An instance with this id is registered already.
    RegistryDuplicateInstance = "registry.duplicate-instance" => Conflict,
    /// No such service.
    RegistryUnknownService = "registry.unknown-service" => NotFound,
    /// The service has no such instance.
    RegistryUnknownInstance = "registry.unknown-instance" => NotFound,
    /// The service has instances, but none is healthy.
    RegistryNoHealthyInstance = "registry.no-healthy-instance" => Unavailable,
    /// As many services or instances are registered as there may be.
    RegistryFull = "registry.full" => Full,
    /// The instance is one that Tenon runs: it ends by stopping or scaling its service.
    RegistryManagedInstance = "registry.managed-instance" => Conflict,
    /// No such key.
    ConfigUnknownKey = "config.unknown-key" => NotFound,
    /// No such revision of the configuration.
    ConfigUnknownRevision = "config.unknown-revision" => NotFound,
    /// The value does not satisfy the key's schema, or is too large.
    ConfigInvalidValue = "config.invalid-value" => Invalid,
    /// The configuration changed since the revision that the change was based on.
    ConfigConflict = "config.conflict" => Stale,
    /// As many keys have a value as may have one.
    ConfigFull = "config.full" => Full,
    /// The service is not one that Tenon runs (its manifest gives addresses, not a command).
    RuntimeNotManaged = "runtime.not-managed" => Conflict,
    /// A number of replicas that is not accepted.
    RuntimeInvalidScale = "runtime.invalid-scale" => Invalid,
    /// The state changed since the action was planned; it is no longer wanted.
    RuntimePlanChanged = "runtime.plan-changed" => Stale,
    /// The port is another instance's.
    RuntimePortTaken = "runtime.port-taken" => Conflict,
    /// The process could not be started.
    RuntimeStartFailed = "runtime.start-failed" => Unavailable,
    /// The caller's sidecar credentials are missing or wrong.
    MeshUnauthenticated = "mesh.unauthenticated" => ProxyUnauthenticated,
    /// No such service in the mesh.
    MeshServiceNotFound = "mesh.service-not-found" => NotFound,
    /// The name is not in the mesh and the manifest does not allow calls outside it.
    MeshEgressDenied = "mesh.egress-denied" => Forbidden,
    /// No healthy instance of the destination.
    MeshServiceUnavailable = "mesh.service-unavailable" => Unavailable,
    /// The destination's circuit breaker is open.
    MeshCircuitOpen = "mesh.circuit-open" => Unavailable,
    /// Too many requests are in flight.
    MeshOverloaded = "mesh.overloaded" => Unavailable,
    /// A policy does not let the call pass.
    MeshPolicyDenied = "mesh.policy-denied" => Forbidden,
    /// There were more calls than a policy's rate limit admits.
    MeshRateLimited = "mesh.rate-limited" => TooMany,
    /// A policy spoils calls on purpose; its `abort` says with which status.
    MeshFaultInjected = "mesh.fault-injected" => Unavailable,
    /// The deadline passed before an answer came.
    MeshTimeout = "mesh.timeout" => Timeout,
    /// The connection to the instance failed or broke.
    MeshNetwork = "mesh.network" => BadGateway,
    /// The service could not be reached: the request certainly was not sent.
    MeshUnreachable = "mesh.unreachable" => BadGateway,
    /// The caller has not shown who it is, and the service takes no calls from nobody.
    MeshIdentityRequired = "mesh.identity-required" => Forbidden,
    /// The caller has shown who it is, and is not let in.
    MeshIdentityDenied = "mesh.identity-denied" => Forbidden,
    /// No configuration has been received yet.
    MeshNotReady = "mesh.not-ready" => Unavailable,
    /// No route of the gateway matches.
    GatewayRouteNotFound = "gateway.route-not-found" => NotFound,
    /// No request with this id is remembered.
    ExplainUnknownRequest = "explain.unknown-request" => NotFound,
    /// The append's condition does not hold: somebody else's event came first. Nothing was written.
    LogConflict = "log.conflict" => Stale,
    /// The events asked for have been scavenged.
    LogTruncated = "log.truncated" => NotFound,
    /// The log's files are damaged at a position that had been durable; nothing is served from there.
    LogCorrupt = "log.corrupt" => Internal,
    /// No space is left; nothing was written.
    LogFull = "log.full" => Full,
    /// The log is closed, or its writer has failed; nothing was acknowledged.
    LogClosed = "log.closed" => Unavailable,
    /// The server that keeps the log cannot be reached; nothing was written.
    LogUnavailable = "log.unavailable" => Unavailable,
    /// Another process uses the log.
    LogLocked = "log.locked" => Conflict,
    /// The event or query is not one that a log accepts.
    LogInvalid = "log.invalid" => Invalid,
    /// The subject of an event was forgotten, which is final.
    SubjectForgotten = "subject.forgotten" => Conflict,
    /// The definition of a subscription is not one that is accepted.
    SubscriptionInvalid = "subscription.invalid" => Invalid,
    /// No such subscription.
    SubscriptionUnknown = "subscription.unknown" => NotFound,
    /// No such event is parked.
    SubscriptionNotParked = "subscription.not-parked" => NotFound,
    /// A subscription holds as many events as it may, and publishers are to be told.
    SubscriptionFull = "subscription.full" => TooMany,
    /// The subscription was deleted, or this member of it did not take what it was given.
    SubscriptionEnded = "subscription.ended" => Unavailable,
    /// The definition of a saga is not one that is accepted.
    SagaInvalid = "saga.invalid" => Invalid,
    /// No such saga.
    SagaUnknown = "saga.unknown" => NotFound,
    /// What was asked for does not fit how the saga is.
    SagaIllegal = "saga.illegal" => Conflict,
    /// Another log than the one that was asked for.
    LogOther = "log.other" => Stale,
    /// The files were written by a newer version.
    DataNewerVersion = "data.newer-version" => Conflict,
    /// No server answers.
    ServerUnavailable = "server.unavailable" => Unavailable,
    /// Another supervisor runs this system.
    ServerLocked = "server.locked" => Conflict,
    /// The server has as many requests or streams as it takes at once.
    ServerOverloaded = "server.overloaded" => Unavailable,
    /// Another server does this at present.
    ServerOffDuty = "server.off-duty" => Unavailable,
    /// What was waited for did not happen in time.
    ServerTimeout = "server.timeout" => Timeout,
    /// A fault of Tenon itself.
    Internal = "internal.fault" => Internal,
}

impl Code {
    /// The code with this text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }

    /// The HTTP status (RFC 9110; 407, 429 and 431 where a proxy must say so).
    pub const fn http_status(self) -> u16 {
        match self.kind() {
            Kind::Invalid => 400,
            Kind::Unauthenticated => 401,
            Kind::Forbidden => 403,
            Kind::NotFound => 404,
            Kind::ProxyUnauthenticated => 407,
            Kind::TooSlow => 408,
            Kind::Conflict => 409,
            Kind::Stale => 412,
            Kind::TooLarge => 413,
            Kind::TargetTooLong => 414,
            Kind::TooMany => 429,
            Kind::HeadTooLarge => 431,
            Kind::Internal => 500,
            Kind::BadGateway => 502,
            Kind::Unavailable => 503,
            Kind::Timeout => 504,
            Kind::OtherVersion => 505,
            Kind::Full => 507,
        }
    }

    /// The gRPC status code (`grpc/grpc` `doc/statuscodes.md`).
    pub const fn grpc_status(self) -> u8 {
        match self.kind() {
            Kind::Invalid => 3,
            Kind::Timeout | Kind::TooSlow => 4,
            Kind::NotFound => 5,
            Kind::Conflict => 6,
            Kind::Forbidden => 7,
            Kind::TooLarge | Kind::TargetTooLong | Kind::HeadTooLarge | Kind::Full | Kind::TooMany => 8,
            Kind::Stale => 10,
            Kind::OtherVersion => 12,
            Kind::Internal => 13,
            Kind::BadGateway | Kind::Unavailable => 14,
            Kind::Unauthenticated | Kind::ProxyUnauthenticated => 16,
        }
    }

    /// The exit code of a command that ends with this error. 0 is success, 1 any other failure and 2 wrong
    /// usage (as `clap` has it).
    pub const fn exit_code(self) -> u8 {
        match self.kind() {
            Kind::Invalid
            | Kind::TooLarge
            | Kind::TargetTooLong
            | Kind::HeadTooLarge
            | Kind::OtherVersion => 3,
            Kind::NotFound => 4,
            Kind::Conflict | Kind::Stale => 5,
            Kind::BadGateway | Kind::Unavailable | Kind::Full | Kind::TooMany => 6,
            Kind::Unauthenticated | Kind::ProxyUnauthenticated | Kind::Forbidden => 7,
            Kind::Timeout | Kind::TooSlow => 8,
            Kind::Internal => 70,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal by a machine: nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// One sentence for people: what was refused and how to mend it.
    pub detail: String,
}

impl Refusal {
    /// A refusal with its code and its sentence.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

#[cfg(test)]
mod tests;
