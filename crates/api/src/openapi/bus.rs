//! The part of the table that is the bus's.

use super::table::{ACTOR, LAST_EVENT_ID, PLAIN, in_header, in_path, in_query, of};
use super::{Access, Answer, Endpoint, Parameter, Socket};
use crate::cloudevents::WEBSOCKET_JSON;
use crate::http::{
    CloudEventDocument, DefinedSubscription, DeletedSubscription, DeliveredEvent, ParkedList, Published,
    PullMessage, SeekSubscription, SettleDeliveries, SettledDeliveries, SoughtSubscription, SubscriptionList,
    SubscriptionView, ToldOfTopic, TopicList, Unparked, WhichParked,
};
use crate::system::SubscriptionDoc;
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
const NAME: Parameter = in_path("name", "The subscription.");
const KNOWN: &[Code] = &[Code::RequestInvalid, Code::SubscriptionUnknown];
/// Of what is asked of whoever drives a subscription.
const DRIVEN: &[Code] = &[
    Code::RequestInvalid,
    Code::SubscriptionUnknown,
    Code::SubscriptionEnded,
    Code::ServerOffDuty,
    Code::ServerTimeout,
];
const PUBLISHING: &[Code] = &[
    Code::RequestInvalid,
    Code::SubscriptionFull,
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
    Endpoint {
        path: "/v1/subscriptions",
        operation: "listSubscriptions",
        summary: "The subscriptions that the caller may see",
        access: Access::Instance,
        parameters: &[NAMESPACE],
        answers: &[Answer::Json(of::<SubscriptionList>())],
        errors: &[Code::RequestInvalid],
        ..PLAIN
    },
    Endpoint {
        path: "/v1/subscriptions/{name}",
        operation: "getSubscription",
        summary: "A subscription and how it fares",
        access: Access::Instance,
        parameters: &[NAME, NAMESPACE],
        answers: &[Answer::Json(of::<SubscriptionView>())],
        errors: DRIVEN,
        ..PLAIN
    },
    Endpoint {
        method: Method::PUT,
        path: "/v1/subscriptions/{name}",
        operation: "defineSubscription",
        summary: "Make a subscription, or change how one that is there behaves: it goes on where it is",
        access: Access::Instance,
        parameters: &[NAME, NAMESPACE, ACTOR],
        request: Some(of::<SubscriptionDoc>()),
        answers: &[Answer::Json(of::<DefinedSubscription>())],
        errors: &[
            Code::RequestInvalid,
            Code::RequestTooLarge,
            Code::SubscriptionInvalid,
            Code::LogFull,
            Code::LogClosed,
        ],
        ..PLAIN
    },
    Endpoint {
        method: Method::DELETE,
        path: "/v1/subscriptions/{name}",
        operation: "deleteSubscription",
        summary: "Delete a subscription with its progress",
        access: Access::Instance,
        parameters: &[NAME, NAMESPACE, ACTOR],
        answers: &[Answer::Json(of::<DeletedSubscription>())],
        errors: KNOWN,
        ..PLAIN
    },
    Endpoint {
        method: Method::POST,
        path: "/v1/subscriptions/{name}/seek",
        operation: "seekSubscription",
        summary: "Give everything from somewhere on again, or leave out what comes before",
        access: Access::Instance,
        parameters: &[NAME, NAMESPACE, ACTOR],
        request: Some(of::<SeekSubscription>()),
        answers: &[Answer::Json(of::<SoughtSubscription>())],
        errors: DRIVEN,
        ..PLAIN
    },
    Endpoint {
        path: "/metrics",
        operation: "flowMetrics",
        summary: "What the subscriptions and sagas that this server drives count, in the text format of Prometheus",
        access: Access::Operator,
        answers: &[Answer::Text("text/plain; version=0.0.4")],
        ..PLAIN
    },
    Endpoint {
        path: "/v1/subscriptions/{name}/pull",
        operation: "pullSubscription",
        summary: "Be given events, as server-sent events or over WebSocket, until that ends; each is to be acknowledged",
        access: Access::Instance,
        parameters: &[
            NAME,
            NAMESPACE,
            in_query(
                "most",
                "How many events may be given and not settled: 32 unless stated, 1,024 at most.",
                of::<u32>(),
            ),
        ],
        answers: &[
            Answer::Events(of::<DeliveredEvent>()),
            Answer::WebSocket(Socket {
                protocol: WEBSOCKET_JSON,
                sends: of::<CloudEventDocument>(),
                takes: of::<PullMessage>(),
            }),
        ],
        errors: DRIVEN,
        ..PLAIN
    },
    Endpoint {
        method: Method::POST,
        path: "/v1/subscriptions/{name}/acks",
        operation: "settleDeliveries",
        summary: "Say of deliveries whether they were dealt with, by their tickets",
        access: Access::Instance,
        parameters: &[NAME, NAMESPACE, ACTOR],
        request: Some(of::<SettleDeliveries>()),
        answers: &[Answer::Json(of::<SettledDeliveries>())],
        errors: DRIVEN,
        ..PLAIN
    },
    Endpoint {
        path: "/v1/subscriptions/{name}/parked",
        operation: "listParked",
        summary: "The events that were given as often as they may be, and wait for somebody",
        access: Access::Instance,
        parameters: &[
            NAME,
            NAMESPACE,
            in_query("after", "Only those after this position.", of::<u64>()),
            LIMIT,
        ],
        answers: &[Answer::Json(of::<ParkedList>())],
        errors: DRIVEN,
        ..PLAIN
    },
    Endpoint {
        method: Method::POST,
        path: "/v1/subscriptions/{name}/parked/retry",
        operation: "retryParked",
        summary: "Give parked events again, as often as at first",
        access: Access::Instance,
        parameters: &[NAME, NAMESPACE, ACTOR],
        request: Some(of::<WhichParked>()),
        answers: &[Answer::Json(of::<Unparked>())],
        errors: &[
            Code::RequestInvalid,
            Code::SubscriptionUnknown,
            Code::SubscriptionNotParked,
            Code::ServerOffDuty,
        ],
        ..PLAIN
    },
    Endpoint {
        method: Method::POST,
        path: "/v1/subscriptions/{name}/parked/drop",
        operation: "dropParked",
        summary: "Leave parked events out, for good",
        access: Access::Instance,
        parameters: &[NAME, NAMESPACE, ACTOR],
        request: Some(of::<WhichParked>()),
        answers: &[Answer::Json(of::<Unparked>())],
        errors: &[
            Code::RequestInvalid,
            Code::SubscriptionUnknown,
            Code::SubscriptionNotParked,
            Code::ServerOffDuty,
        ],
        ..PLAIN
    },
];
