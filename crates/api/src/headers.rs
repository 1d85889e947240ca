//! The names of the headers that Tenon reads and writes, in lower case.

/// How long the caller still waits, in whole milliseconds: what is left of its deadline.
pub use tenon_core::deadline::HEADER as TIMEOUT_MS;
/// How much a request matters, from inside the mesh.
pub use tenon_core::priority::HEADER as PRIORITY;
/// Which try of a request this is, from the second on.
pub use tenon_core::retry::ATTEMPT_HEADER as ATTEMPT;
/// By which a caller says that a request may be sent more than once.
pub use tenon_core::retry::IDEMPOTENCY_KEY_HEADER as IDEMPOTENCY_KEY;
/// Whether an answer is worth another try further up.
pub use tenon_core::retry::RETRY_HEADER as RETRY;

/// The id of a request through the mesh, a UUIDv7 ([`RequestId`](tenon_core::RequestId)).
pub const REQUEST_ID: &str = "x-request-id";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// The [`Code`](tenon_core::Code) of a response that Tenon itself made. A response without it is a service's own.
pub const ERROR: &str = "tenon-error";
/// Who asks for a change through the API ([`Actor`](tenon_core::Actor)).
pub const ACTOR: &str = "tenon-actor";
