//! The table.

use super::{Access, Answer, Endpoint, Parameter, Place, SchemaOf};
use crate::explain::Explanation;
use crate::http::{
    ApplyManifest, ApplyOutcome, Changed, ConfigChange, ConfigDiff, ConfigEntry, ConfigHistory, ConfigList,
    Heartbeat, Instance, InstanceChange, InstanceList, Liveness, LogLine, RegisterInstance, RollbackConfig,
    ScaleService, ServiceConfig, ServiceList, ServiceView, SetConfig, SnapshotView, Status, SystemView,
};
use crate::otlp::TracesData;
use http::Method;
use schemars::{JsonSchema, SchemaGenerator};
use tenon_core::Code;

pub(super) const fn of<T: JsonSchema>() -> SchemaOf {
    SchemaGenerator::subschema_for::<T>
}

pub(super) const fn in_path(name: &'static str, description: &'static str) -> Parameter {
    Parameter { name, place: Place::Path, description, schema: of::<String>() }
}

pub(super) const fn in_query(name: &'static str, description: &'static str, schema: SchemaOf) -> Parameter {
    Parameter { name, place: Place::Query, description, schema }
}

pub(super) const fn in_header(name: &'static str, description: &'static str) -> Parameter {
    Parameter { name, place: Place::Header, description, schema: of::<String>() }
}

const SERVICE: Parameter = in_path("service", "The service: its name, or `name.namespace`.");
const INSTANCE: Parameter = in_path("id", "The instance's id.");
const KEY: Parameter = in_path("key", "The configuration key.");
pub(super) const ACTOR: Parameter =
    in_header("tenon-actor", "Who makes the change, for the record; `api` if not stated.");
const IF_MATCH: Parameter = in_header(
    "if-match",
    "Make the change only if the key still has this ETag; otherwise `config.conflict`.",
);
pub(super) const LAST_EVENT_ID: Parameter =
    in_header("last-event-id", "The revision to resume a stream after, `LOG-ID@POSITION`.");

const UNKNOWN_SERVICE: &[Code] = &[Code::RegistryUnknownService];
const UNKNOWN_INSTANCE: &[Code] = &[Code::RegistryUnknownService, Code::RegistryUnknownInstance];

/// What is the same for most endpoints; the entries below say what is not.
pub(super) const PLAIN: Endpoint = Endpoint {
    method: Method::GET,
    path: "",
    operation: "",
    summary: "",
    access: Access::Operator,
    parameters: &[],
    request: None,
    status: 200,
    answers: &[],
    errors: &[],
};

/// Every endpoint of the server's API.
pub const API: &[Endpoint] = &[
    Endpoint {
        path: "/health",
        operation: "health",
        summary: "Whether the server is up; 503 until it has folded the log",
        access: Access::Public,
        answers: &[Answer::Json(of::<Liveness>())],
        ..PLAIN
    },
    Endpoint {
        path: "/openapi.json",
        operation: "openapi",
        summary: "This document",
        access: Access::Public,
        answers: &[Answer::Json(of::<serde_json::Value>())],
        ..PLAIN
    },
    Endpoint {
        path: "/v1/status",
        operation: "getStatus",
        summary: "How the system fares",
        answers: &[Answer::Json(of::<Status>())],
        ..PLAIN
    },
    Endpoint {
        path: "/v1/system",
        operation: "getSystem",
        summary: "The manifest that is applied and what it resolves to",
        answers: &[Answer::Json(of::<SystemView>())],
        errors: &[Code::ManifestUnreadable],
        ..PLAIN
    },
    Endpoint {
        method: Method::PUT,
        path: "/v1/system",
        operation: "applyManifest",
        summary: "Apply a manifest, or only say what would come of it",
        parameters: &[ACTOR],
        request: Some(of::<ApplyManifest>()),
        answers: &[Answer::Json(of::<ApplyOutcome>())],
        errors: &[Code::RequestInvalid, Code::ManifestInvalid, Code::RequestTooLarge, Code::RegistryFull],
        ..PLAIN
    },
    Endpoint {
        path: "/v1/services",
        operation: "listServices",
        summary: "All services in short",
        answers: &[Answer::Json(of::<ServiceList>())],
        ..PLAIN
    },
    Endpoint {
        path: "/v1/services/{service}",
        operation: "getService",
        summary: "One service in full",
        parameters: &[SERVICE],
        answers: &[Answer::Json(of::<ServiceView>())],
        errors: UNKNOWN_SERVICE,
        ..PLAIN
    },
    Endpoint {
        path: "/v1/services/{service}/instances",
        operation: "listServiceInstances",
        summary: "All instances of a service, whatever their health",
        parameters: &[SERVICE],
        answers: &[Answer::Json(of::<InstanceList>())],
        errors: UNKNOWN_SERVICE,
        ..PLAIN
    },
    Endpoint {
        method: Method::POST,
        path: "/v1/services/{service}/instances",
        operation: "registerInstance",
        summary: "Register an instance that Tenon does not run",
        parameters: &[SERVICE, ACTOR],
        request: Some(of::<RegisterInstance>()),
        status: 201,
        answers: &[Answer::Json(of::<Instance>())],
        errors: &[
            Code::RequestInvalid,
            Code::RegistryUnknownService,
            Code::RegistryDuplicateInstance,
            Code::RegistryFull,
        ],
        ..PLAIN
    },
    Endpoint {
        method: Method::DELETE,
        path: "/v1/services/{service}/instances/{id}",
        operation: "deregisterInstance",
        summary: "Take an instance out of the registry",
        parameters: &[SERVICE, INSTANCE, ACTOR],
        answers: &[Answer::Json(of::<Changed>())],
        errors: UNKNOWN_INSTANCE,
        ..PLAIN
    },
    Endpoint {
        method: Method::PUT,
        path: "/v1/services/{service}/instances/{id}/heartbeat",
        operation: "heartbeat",
        summary: "Say that an instance is well",
        access: Access::Instance,
        parameters: &[SERVICE, INSTANCE],
        answers: &[Answer::Json(of::<Heartbeat>())],
        errors: UNKNOWN_INSTANCE,
        ..PLAIN
    },
    Endpoint {
        path: "/v1/services/{service}/lookup",
        operation: "lookup",
        summary: "The instances of a service that may be called",
        access: Access::Instance,
        parameters: &[SERVICE],
        answers: &[Answer::Json(of::<InstanceList>())],
        errors: &[Code::RegistryUnknownService, Code::RegistryNoHealthyInstance],
        ..PLAIN
    },
    Endpoint {
        path: "/v1/services/{service}/watch",
        operation: "watchInstances",
        summary: "Every change to a service's instances, after their present state",
        parameters: &[SERVICE, LAST_EVENT_ID],
        answers: &[Answer::Events(of::<InstanceChange>())],
        errors: UNKNOWN_SERVICE,
        ..PLAIN
    },
    Endpoint {
        method: Method::POST,
        path: "/v1/services/{service}/start",
        operation: "startService",
        summary: "Run a service again that was stopped",
        parameters: &[SERVICE, ACTOR],
        answers: &[Answer::Json(of::<Changed>())],
        errors: &[Code::RegistryUnknownService, Code::RuntimeNotManaged],
        ..PLAIN
    },
    Endpoint {
        method: Method::POST,
        path: "/v1/services/{service}/stop",
        operation: "stopService",
        summary: "End all instances of a service and start none",
        parameters: &[SERVICE, ACTOR],
        answers: &[Answer::Json(of::<Changed>())],
        errors: &[Code::RegistryUnknownService, Code::RuntimeNotManaged],
        ..PLAIN
    },
    Endpoint {
        method: Method::PUT,
        path: "/v1/services/{service}/scale",
        operation: "scaleService",
        summary: "Run this many replicas",
        parameters: &[SERVICE, ACTOR],
        request: Some(of::<ScaleService>()),
        answers: &[Answer::Json(of::<Changed>())],
        errors: &[
            Code::RequestInvalid,
            Code::RegistryUnknownService,
            Code::RuntimeNotManaged,
            Code::RuntimeInvalidScale,
        ],
        ..PLAIN
    },
    Endpoint {
        path: "/v1/instances",
        operation: "listInstances",
        summary: "All instances",
        answers: &[Answer::Json(of::<InstanceList>())],
        ..PLAIN
    },
    Endpoint {
        path: "/v1/config",
        operation: "listConfig",
        summary: "All configuration",
        answers: &[Answer::Json(of::<ConfigList>())],
        ..PLAIN
    },
    Endpoint {
        path: "/v1/config/{service}",
        operation: "getServiceConfig",
        summary: "The configuration of a service, or every change to it",
        access: Access::Instance,
        parameters: &[
            SERVICE,
            in_query("watch", "Answer a stream of changes instead of the present values.", of::<bool>()),
            LAST_EVENT_ID,
        ],
        answers: &[Answer::Json(of::<ServiceConfig>()), Answer::Events(of::<ConfigChange>())],
        errors: UNKNOWN_SERVICE,
        ..PLAIN
    },
    Endpoint {
        path: "/v1/config/{service}/history",
        operation: "getConfigHistory",
        summary: "The changes to a service's configuration, the newest first",
        parameters: &[
            SERVICE,
            in_query("key", "Only the changes to this key.", of::<String>()),
            in_query("limit", "At most this many; 100 unless stated, 1,000 at most.", of::<u32>()),
        ],
        answers: &[Answer::Json(of::<ConfigHistory>())],
        errors: &[Code::RequestInvalid, Code::RegistryUnknownService],
        ..PLAIN
    },
    Endpoint {
        path: "/v1/config/{service}/diff",
        operation: "diffConfig",
        summary: "What differs between two revisions of a service's configuration",
        parameters: &[
            SERVICE,
            in_query("from", "The one revision, `LOG-ID@POSITION`.", of::<String>()),
            in_query("to", "The other; the present unless stated.", of::<String>()),
        ],
        answers: &[Answer::Json(of::<ConfigDiff>())],
        errors: &[Code::RequestInvalid, Code::RegistryUnknownService, Code::ConfigUnknownRevision],
        ..PLAIN
    },
    Endpoint {
        method: Method::POST,
        path: "/v1/config/{service}/rollback",
        operation: "rollbackConfig",
        summary: "Give all keys of a service the values that they had at a revision",
        parameters: &[SERVICE, ACTOR],
        request: Some(of::<RollbackConfig>()),
        answers: &[Answer::Json(of::<ServiceConfig>())],
        errors: &[Code::RequestInvalid, Code::RegistryUnknownService, Code::ConfigUnknownRevision],
        ..PLAIN
    },
    Endpoint {
        path: "/v1/config/{service}/{key}",
        operation: "getConfig",
        summary: "The value of a key",
        access: Access::Instance,
        parameters: &[SERVICE, KEY],
        answers: &[Answer::Json(of::<ConfigEntry>())],
        errors: &[Code::RequestInvalid, Code::RegistryUnknownService, Code::ConfigUnknownKey],
        ..PLAIN
    },
    Endpoint {
        method: Method::PUT,
        path: "/v1/config/{service}/{key}",
        operation: "setConfig",
        summary: "Give a key a value",
        parameters: &[SERVICE, KEY, IF_MATCH, ACTOR],
        request: Some(of::<SetConfig>()),
        answers: &[Answer::Json(of::<ConfigEntry>())],
        errors: &[
            Code::RequestInvalid,
            Code::RequestTooLarge,
            Code::RegistryUnknownService,
            Code::RegistryFull,
            Code::ConfigInvalidValue,
            Code::ConfigConflict,
        ],
        ..PLAIN
    },
    Endpoint {
        method: Method::DELETE,
        path: "/v1/config/{service}/{key}",
        operation: "removeConfig",
        summary: "Take a key's value away",
        parameters: &[SERVICE, KEY, IF_MATCH, ACTOR],
        answers: &[Answer::Json(of::<Changed>())],
        errors: &[
            Code::RequestInvalid,
            Code::RegistryUnknownService,
            Code::ConfigUnknownKey,
            Code::ConfigConflict,
        ],
        ..PLAIN
    },
    Endpoint {
        path: "/v1/logs/{service}",
        operation: "readLogs",
        summary: "The last lines that a service's instances printed, and those that follow",
        parameters: &[
            SERVICE,
            in_query("tail", "How many lines of the past; 100 unless stated, 10,000 at most.", of::<u32>()),
            in_query(
                "follow",
                "Go on with new lines; otherwise the stream ends after the past ones.",
                of::<bool>(),
            ),
        ],
        answers: &[Answer::Events(of::<LogLine>())],
        errors: &[Code::RequestInvalid, Code::RegistryUnknownService],
        ..PLAIN
    },
];

/// Every endpoint of a data plane's admin address.
pub const ADMIN: &[Endpoint] = &[
    Endpoint {
        path: "/health",
        operation: "health",
        summary: "Whether the data plane is up; 503 until it has configuration",
        access: Access::Public,
        answers: &[Answer::Json(of::<Liveness>())],
        ..PLAIN
    },
    Endpoint {
        path: "/metrics",
        operation: "metrics",
        summary: "All metrics in the text format of Prometheus",
        access: Access::Public,
        answers: &[Answer::Text("text/plain; version=0.0.4")],
        ..PLAIN
    },
    Endpoint {
        path: "/explain/{request-id}",
        operation: "explain",
        summary: "The story of a request: one of the last 10,000, or of the last 10,000 that were refused, retried or failed",
        access: Access::Public,
        parameters: &[in_path("request-id", "The request's id, from its `x-request-id` header.")],
        answers: &[Answer::Json(of::<Explanation>())],
        errors: &[Code::RequestInvalid, Code::ExplainUnknownRequest],
        ..PLAIN
    },
    Endpoint {
        path: "/spans",
        operation: "spans",
        summary: "The spans that are remembered of a trace or of a request, as OTLP's JSON has them",
        access: Access::Public,
        parameters: &[
            in_query("trace", "The trace's id: 32 hexadecimal digits.", of::<String>()),
            in_query("request", "Or the request's id, from its `x-request-id` header.", of::<String>()),
        ],
        answers: &[Answer::Json(of::<TracesData>())],
        errors: &[Code::RequestInvalid, Code::ExplainUnknownRequest],
        ..PLAIN
    },
    Endpoint {
        path: "/snapshot",
        operation: "snapshot",
        summary: "The configuration that the data plane works by, without credentials",
        access: Access::Public,
        answers: &[Answer::Json(of::<SnapshotView>())],
        ..PLAIN
    },
];
