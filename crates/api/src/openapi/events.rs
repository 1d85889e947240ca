//! The part of the table that is the event store's.

use super::table::{ACTOR, LAST_EVENT_ID, PLAIN, in_header, in_path, in_query, of};
use super::{Access, Answer, Endpoint, Parameter};
use crate::http::{AppendEvents, AppendedEvents, Changed, EventPage, StreamList, Told};
use http::Method;
use tenon_core::Code;

const STREAM: Parameter = in_path("stream", "The stream, with `/` written as `%2F`.");
const NAMESPACE: Parameter = in_query(
    "namespace",
    "The namespace; `default` if left out, an instance's own for an instance, `*` for all of them where events are read.",
    of::<String>(),
);
const FROM: Parameter = in_query(
    "from",
    "Begin after this position or revision, or before it when reading backward.",
    of::<String>(),
);
const BACKWARD: Parameter = in_query("backward", "The newest first.", of::<bool>());
const LIMIT: Parameter = in_query("limit", "The most events: 100 unless stated, 1,000 at most.", of::<u32>());
const AT: Parameter =
    in_query("at", "The past as it was then: a position, a revision, or a time (RFC 3339).", of::<String>());
const FOLLOW: Parameter = in_query(
    "follow",
    "A stream of server-sent events: those after `from` or Last-Event-ID (from the beginning, without), then all that come.",
    of::<bool>(),
);
const TYPE: Parameter = in_query("type", "Only events of these types, separated by commas.", of::<String>());
const TAG: Parameter =
    in_query("tag", "Only events that carry all of these tags, separated by commas.", of::<String>());
const PREFIX: Parameter = in_query(
    "prefix",
    "Only streams that begin so. There is no index for it: without a type or tag every event is looked at.",
    of::<String>(),
);
const IF_MATCH: Parameter = in_header(
    "if-match",
    "Append only if the stream has no event after this ETag (`*`: only if it has any); otherwise `log.conflict`.",
);
const IF_NONE_MATCH: Parameter =
    in_header("if-none-match", "`*`: append only if the stream has no event yet.");

const IF_UNCHANGED: Parameter = in_header(
    "if-match",
    "Delete only if the stream has no event after this ETag; otherwise `log.conflict`. Without it, if the stream exists.",
);

const READING: &[Code] = &[Code::RequestInvalid, Code::LogInvalid, Code::LogTruncated, Code::LogOther];
const APPENDING: &[Code] = &[
    Code::RequestInvalid,
    Code::RequestTooLarge,
    Code::LogInvalid,
    Code::SubjectForgotten,
    Code::LogConflict,
    Code::LogOther,
    Code::LogFull,
    Code::LogClosed,
];

/// Every endpoint of the event store, which is served beside [`API`](super::API).
pub const EVENTS: &[Endpoint] = &[
    Endpoint {
        path: "/v1/streams",
        operation: "listStreams",
        summary: "The streams, in the order of namespaces and names",
        access: Access::Instance,
        parameters: &[
            NAMESPACE,
            PREFIX,
            in_query("after", "What `next` of the page before says: the next page.", of::<String>()),
            LIMIT,
        ],
        answers: &[Answer::Json(of::<StreamList>())],
        errors: READING,
        ..PLAIN
    },
    Endpoint {
        path: "/v1/streams/{stream}/events",
        operation: "readStream",
        summary: "The events of a stream, or of its past, or as they come",
        access: Access::Instance,
        parameters: &[STREAM, NAMESPACE, FROM, BACKWARD, LIMIT, AT, TYPE, FOLLOW, LAST_EVENT_ID],
        answers: &[Answer::Json(of::<EventPage>()), Answer::Events(of::<Told>())],
        errors: READING,
        ..PLAIN
    },
    Endpoint {
        method: Method::POST,
        path: "/v1/streams/{stream}/events",
        operation: "appendToStream",
        summary: "Append events to a stream, all or none",
        access: Access::Instance,
        parameters: &[STREAM, NAMESPACE, IF_MATCH, IF_NONE_MATCH, ACTOR],
        request: Some(of::<AppendEvents>()),
        answers: &[Answer::Json(of::<AppendedEvents>())],
        errors: APPENDING,
        ..PLAIN
    },
    Endpoint {
        method: Method::DELETE,
        path: "/v1/streams/{stream}",
        operation: "deleteStream",
        summary: "Delete a stream: its events are told no more, only that it was deleted; appending opens it again",
        access: Access::Instance,
        parameters: &[STREAM, NAMESPACE, IF_UNCHANGED, ACTOR],
        answers: &[Answer::Json(of::<Changed>())],
        errors: &[
            Code::RequestInvalid,
            Code::LogInvalid,
            Code::LogConflict,
            Code::LogOther,
            Code::LogFull,
            Code::LogClosed,
        ],
        ..PLAIN
    },
    Endpoint {
        path: "/v1/events",
        operation: "readEvents",
        summary: "The events of all streams, or of the past, or as they come",
        access: Access::Instance,
        parameters: &[NAMESPACE, PREFIX, TYPE, TAG, FROM, BACKWARD, LIMIT, AT, FOLLOW, LAST_EVENT_ID],
        answers: &[Answer::Json(of::<EventPage>()), Answer::Events(of::<Told>())],
        errors: READING,
        ..PLAIN
    },
    Endpoint {
        method: Method::POST,
        path: "/v1/events:append",
        operation: "appendEvents",
        summary: "Append events to several streams, all or none",
        access: Access::Instance,
        parameters: &[NAMESPACE, ACTOR],
        request: Some(of::<AppendEvents>()),
        answers: &[Answer::Json(of::<AppendedEvents>())],
        errors: APPENDING,
        ..PLAIN
    },
    Endpoint {
        method: Method::DELETE,
        path: "/v1/subjects/{subject}",
        operation: "forgetSubject",
        summary: "Forget a subject, for good: destroy its key, so that no payload about it can be read any more",
        parameters: &[in_path("subject", "The subject."), NAMESPACE, ACTOR],
        answers: &[Answer::Json(of::<Changed>())],
        errors: &[Code::RequestInvalid, Code::LogFull, Code::LogClosed],
        ..PLAIN
    },
];
