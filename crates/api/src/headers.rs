//! The names of the headers that Tenon reads and writes, in lower case. Those of every request are names already: reading
//! one from a text costs more than finding it.

use http::HeaderName;
use tenon_core::{deadline, retry};

/// How long the caller still waits, in whole milliseconds: what is left of its deadline.
pub const TIMEOUT_MS: HeaderName = HeaderName::from_static(deadline::HEADER);
/// The same in gRPC's form.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static(deadline::GRPC_HEADER);
/// By which a caller says that a request may be sent more than once.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static(retry::IDEMPOTENCY_KEY_HEADER);
/// How much a request matters, from inside the mesh.
pub use tenon_core::priority::HEADER as PRIORITY;
/// Which try of a request this is, from the second on.
pub use tenon_core::retry::ATTEMPT_HEADER as ATTEMPT;
/// Whether an answer is worth another try further up.
pub use tenon_core::retry::RETRY_HEADER as RETRY;

/// The id of a request through the mesh, a UUIDv7 ([`RequestId`](tenon_core::RequestId)).
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The saga that a call is made for.
pub const SAGA: HeaderName = HeaderName::from_static("tenon-saga");
/// Its step.
pub const SAGA_STEP: HeaderName = HeaderName::from_static("tenon-saga-step");
/// Whether it is done or undone: `do` or `undo`.
pub const SAGA_DIRECTION: HeaderName = HeaderName::from_static("tenon-saga-direction");
/// How often the step was refused and is tried under a new key.
pub const SAGA_ROUND: HeaderName = HeaderName::from_static("tenon-saga-round");
/// Which attempt at the step it is, over both directions.
pub const SAGA_ATTEMPT: HeaderName = HeaderName::from_static("tenon-saga-attempt");
/// W3C trace context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// How a gRPC call ended.
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// The [`Code`](tenon_core::Code) of a response that Tenon itself made. A response without it is a service's own.
pub const ERROR: &str = "tenon-error";
/// Of a copy of a request, which a policy made: its name.
pub const MIRRORED: &str = "tenon-mirrored";
/// How far an answer goes ([`Revision`](tenon_core::Revision)).
pub const REVISION: &str = "tenon-revision";
/// Who asks for a change through the API ([`Actor`](tenon_core::Actor)).
pub const ACTOR: &str = "tenon-actor";
