//! The part of the table that is the bus's.

use super::table::{ACTOR, LAST_EVENT_ID, PLAIN, in_header, in_path, in_query, of};
use super::{Access, Answer, Endpoint, Parameter};
use crate::http::{CloudEventDocument, Published, ToldOfTopic, TopicList};
use http::Method;
use tenon_core::Code;

const TOPIC: Parameter = in_path("type", "The topic: the type of its events.");
const NAMESPACE: Parameter = in_query(
    "namespace",
    "The namespace; `default` if left out, an instance's own for an instance.",
    of::<String>(),
);
const STREAM: Parameter = in_query(
    "stream",
    "The stream for events that name none by `tenonstream`; `topics/TYPE/KEY` if left out, KEY being `partitionkey`, or \
     else `subject`.",
    of::<String>(),
);
const KEY: Parameter = in_query(
    "key",
    "The `partitionkey` of events that have none: events of one key keep their order.",
    of::<String>(),
);
const IDEMPOTENCY_KEY: Parameter = in_header(
    "idempotency-key",
    "The id of the event, if the body is plain data: what is sent again under the same id is published once.",
);
const LIMIT: Parameter = in_query("limit", "The most events: 100 unless stated, 1,000 at most.", of::<u32>());

const READING: &[Code] = &[Code::RequestInvalid, Code::LogInvalid, Code::LogTruncated, Code::LogOther];
const PUBLISHING: &[Code] = &[
    Code::RequestInvalid,
    Code::RequestTooLarge,
    Code::LogInvalid,
    Code::SubjectForgotten,
    Code::LogFull,
    Code::LogClosed,
];

/// Every endpoint of the bus, which is served beside [`EVENTS`](super::EVENTS).
pub const BUS: &[Endpoint] = &[
    Endpoint {
        path: "/v1/topics",
        operation: "listTopics",
        summary: "The topics, those that something was published to last first; looks at 100,000 events of the log at most",
        access: Access::Instance,
        parameters: &[
            NAMESPACE,
            in_query("prefix", "Only topics that begin so.", of::<String>()),
            in_query(
                "before",
                "Look at events before this revision only: what lies further back.",
                of::<String>(),
            ),
        ],
        answers: &[Answer::Json(of::<TopicList>())],
        errors: READING,
        ..PLAIN
    },
    Endpoint {
        path: "/v1/topics/{type}/events",
        operation: "readTopic",
        summary: "The events of a topic as CloudEvents: a batch (the header `tenon-revision` says how far it goes), or as they come",
        access: Access::Instance,
        parameters: &[
            TOPIC,
            NAMESPACE,
            in_query("from", "Begin after this position or revision.", of::<String>()),
            LIMIT,
            in_query(
                "follow",
                "A stream of server-sent events: those after `from` or Last-Event-ID (from the beginning, without), then all \
                 that come.",
                of::<bool>(),
            ),
            LAST_EVENT_ID,
        ],
        answers: &[Answer::Json(of::<Vec<CloudEventDocument>>()), Answer::Events(of::<ToldOfTopic>())],
        errors: READING,
        ..PLAIN
    },
    Endpoint {
        method: Method::POST,
        path: "/v1/topics/{type}/events",
        operation: "publishToTopic",
        summary: "Publish CloudEvents of this type (binary, structured or batched; JSON or protobuf), or plain data as one",
        access: Access::Instance,
        parameters: &[TOPIC, NAMESPACE, STREAM, KEY, IDEMPOTENCY_KEY, ACTOR],
        request: Some(of::<CloudEventDocument>()),
        answers: &[Answer::Json(of::<Published>())],
        errors: PUBLISHING,
        ..PLAIN
    },
    Endpoint {
        method: Method::POST,
        path: "/v1/events",
        operation: "publish",
        summary: "Publish CloudEvents of any types (binary, structured or batched; JSON or protobuf)",
        access: Access::Instance,
        parameters: &[NAMESPACE, STREAM, KEY, ACTOR],
        request: Some(of::<CloudEventDocument>()),
        answers: &[Answer::Json(of::<Published>())],
        errors: PUBLISHING,
        ..PLAIN
    },
];
