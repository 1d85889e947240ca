//! The part of the table that is about sagas.

use super::table::{ACTOR, PLAIN, in_header, in_path, in_query, of};
use super::{Access, Answer, Endpoint, Parameter};
use crate::http::{
    Changed, DecideSaga, DecideSagas, DecidedSagas, DefinedSaga, SagaDefinitionList, SagaHistory, SagaList,
    SagaView, SignalSaga, StartSaga, StartedSaga,
};
use crate::otlp::TracesData;
use crate::system::SagaDoc;
use http::Method;
use tenon_core::Code;

const NAMESPACE: Parameter = in_query(
    "namespace",
    "The namespace; `default` if left out, an instance's own for an instance.",
    of::<String>(),
);
const ID: Parameter = in_path("saga", "The saga's id.");
const NAME: Parameter = in_path("name", "The name of the saga.");
const WAIT: Parameter = in_query(
    "wait_ms",
    "Answer when it has ended, or after so many milliseconds; 25,000 at most.",
    of::<u64>(),
);
const FOUND: &[Code] = &[Code::RequestInvalid, Code::SagaUnknown];
const CHANGING: &[Code] = &[
    Code::RequestInvalid,
    Code::RequestTooLarge,
    Code::SagaUnknown,
    Code::SagaIllegal,
    Code::ServerOffDuty,
    Code::ServerTimeout,
    Code::LogFull,
    Code::LogClosed,
];

/// Every endpoint of sagas.
pub const SAGAS: &[Endpoint] = &[
    Endpoint {
        path: "/v1/sagas",
        operation: "listSagas",
        summary: "Sagas that run or have run, the last to have begun first (to have ended, if only such are asked for)",
        access: Access::Instance,
        parameters: &[
            NAMESPACE,
            in_query("name", "Only those of this name.", of::<String>()),
            in_query("key", "Only the one that was started with this key; with `name`.", of::<String>()),
            in_query("state", "Only those in one of these states, separated by commas.", of::<String>()),
            in_query("since", "Only those that began at this time (RFC 3339) or later.", of::<String>()),
            in_query("until", "Only those that began before this time.", of::<String>()),
            in_query("before", "The rest of a list: its `next`.", of::<u64>()),
            in_query("limit", "The most sagas: 100 unless stated, 1,000 at most.", of::<u64>()),
        ],
        answers: &[Answer::Json(of::<SagaList>())],
        errors: &[Code::RequestInvalid],
        ..PLAIN
    },
    Endpoint {
        method: Method::POST,
        path: "/v1/sagas/{saga}",
        operation: "startSaga",
        summary: "Start a saga of this name; or find the one that was started with the same key",
        access: Access::Instance,
        parameters: &[
            in_path("saga", "The name of the saga."),
            NAMESPACE,
            WAIT,
            in_header("idempotency-key", "By which starting it again is recognised."),
            ACTOR,
        ],
        request: Some(of::<StartSaga>()),
        answers: &[Answer::Json(of::<StartedSaga>())],
        errors: &[
            Code::RequestInvalid,
            Code::RequestTooLarge,
            Code::SagaUnknown,
            Code::ServerOverloaded,
            Code::ServerTimeout,
            Code::LogFull,
            Code::LogClosed,
        ],
        ..PLAIN
    },
    Endpoint {
        path: "/v1/sagas/{saga}",
        operation: "getSaga",
        summary: "A saga with its steps; waits for its end, if asked to",
        access: Access::Instance,
        parameters: &[ID, WAIT],
        answers: &[Answer::Json(of::<SagaView>())],
        errors: FOUND,
        ..PLAIN
    },
    Endpoint {
        path: "/v1/sagas/{saga}/history",
        operation: "getSagaHistory",
        summary: "Everything that happened to a saga",
        access: Access::Instance,
        parameters: &[ID],
        answers: &[Answer::Json(of::<SagaHistory>())],
        errors: FOUND,
        ..PLAIN
    },
    Endpoint {
        method: Method::POST,
        path: "/v1/sagas/{saga}/signals/{signal}",
        operation: "signalSaga",
        summary: "Tell a saga what it waits for, or will",
        access: Access::Instance,
        parameters: &[ID, in_path("signal", "The signal."), ACTOR],
        request: Some(of::<SignalSaga>()),
        answers: &[Answer::Json(of::<SagaView>())],
        errors: CHANGING,
        ..PLAIN
    },
    Endpoint {
        method: Method::POST,
        path: "/v1/sagas/{saga}/cancel",
        operation: "cancelSaga",
        summary: "Turn a saga back: what may have run is undone",
        access: Access::Instance,
        parameters: &[ID, ACTOR],
        answers: &[Answer::Json(of::<SagaView>())],
        errors: CHANGING,
        ..PLAIN
    },
    Endpoint {
        method: Method::POST,
        path: "/v1/sagas/{saga}/decisions",
        operation: "decideSaga",
        summary: "Say what is to become of a step that waits for somebody",
        access: Access::Instance,
        parameters: &[ID, ACTOR],
        request: Some(of::<DecideSaga>()),
        answers: &[Answer::Json(of::<SagaView>())],
        errors: CHANGING,
        ..PLAIN
    },
    Endpoint {
        method: Method::POST,
        path: "/v1/saga-decisions",
        operation: "decideSagas",
        summary: "Say what is to become of many sagas that wait for somebody; what of that was done, and what was refused",
        access: Access::Instance,
        parameters: &[NAMESPACE, ACTOR],
        request: Some(of::<DecideSagas>()),
        answers: &[Answer::Json(of::<DecidedSagas>())],
        errors: &[Code::RequestInvalid, Code::RequestTooLarge],
        ..PLAIN
    },
    Endpoint {
        path: "/v1/saga-spans",
        operation: "sagaSpans",
        summary: "The sagas of a trace as spans, in OTLP's JSON: each saga is one, and below it every attempt at a step",
        access: Access::Instance,
        parameters: &[in_query("trace", "The trace's id: 32 hexadecimal digits.", of::<String>())],
        answers: &[Answer::Json(of::<TracesData>())],
        errors: &[Code::RequestInvalid],
        ..PLAIN
    },
    Endpoint {
        path: "/v1/saga-definitions",
        operation: "listSagaDefinitions",
        summary: "The sagas that can be started",
        access: Access::Instance,
        parameters: &[NAMESPACE],
        answers: &[Answer::Json(of::<SagaDefinitionList>())],
        errors: &[Code::RequestInvalid],
        ..PLAIN
    },
    Endpoint {
        method: Method::PUT,
        path: "/v1/saga-definitions/{name}",
        operation: "defineSaga",
        summary: "Make a saga, or change how those that begin from now on are",
        access: Access::Operator,
        parameters: &[NAME, NAMESPACE, ACTOR],
        request: Some(of::<SagaDoc>()),
        answers: &[Answer::Json(of::<DefinedSaga>())],
        errors: &[
            Code::RequestInvalid,
            Code::RequestTooLarge,
            Code::SagaInvalid,
            Code::LogFull,
            Code::LogClosed,
        ],
        ..PLAIN
    },
    Endpoint {
        method: Method::DELETE,
        path: "/v1/saga-definitions/{name}",
        operation: "retireSaga",
        summary: "Let no more sagas of this name begin; those that run go on",
        access: Access::Operator,
        parameters: &[NAME, NAMESPACE, ACTOR],
        answers: &[Answer::Json(of::<Changed>())],
        errors: FOUND,
        ..PLAIN
    },
];
