//! Who is given which events.

use super::traffic::{DELAY, JITTER};
use super::{Field, Record, Shape, TextForm, Word, texts};
use std::time::Duration;
use tenon_api::system::{parse_ordering, parse_start};
use tenon_core::group::{MAX_CAPACITY, MAX_DEDUP, MAX_DELAY, MAX_IN_FLIGHT, MAX_PARKED};
use tenon_core::{EventType, ServiceRef, StreamName, SubscriptionName, Tag};

pub(crate) static SUBSCRIPTION: Record = Record {
    anchor: "subscription",
    title: "Subscription",
    doc: "A named group of consumers of events: each event that it selects is given to one of them, until it is \
          acknowledged ([docs/events.md](events.md#subscriptions-in-the-manifest)). It selects among the events of the \
          system's namespace.",
    fields: &[
        Field::optional(
            "types",
            Shape::List { item: &Shape::Text(&EVENT_TYPE), least: 1, most: 200 },
            "Any of these types, which are topics; every one if not stated.",
        )
        .elsewhere(&["topics", "topic", "type"]),
        Field::optional(
            "tags",
            Shape::List { item: &Shape::Text(&TAG), least: 1, most: 32 },
            "All of these tags.",
        )
        .elsewhere(&["tag"]),
        Field::optional("prefix", Shape::Text(&STREAM), "How the stream's name begins.")
            .elsewhere(&["stream", "streams"]),
        Field::with_default(
            "start",
            Shape::Text(&START),
            "end",
            "Where it begins when it is made: with the `beginning`, with what comes then (`end`), after a position (as text), or \
             with the events of a time on (RFC 3339). What it says later changes nothing: `tenon subscriptions seek` does.",
        )
        .elsewhere(&["from", "offset"]),
        Field::with_default(
            "order_by",
            Shape::Text(&ORDER),
            "stream",
            "Which events are given one at a time, in the order of the log: those of one `stream`, those that share a tag \
             which begins with a text (`tag:order:`), or `none`.",
        )
        .elsewhere(&["key", "ordering", "partition_by"]),
        Field::optional(
            "push",
            Shape::Record(&PUSH),
            "Which service is called with each event. Without it, consumers ask for events.",
        )
        .elsewhere(&["deliver_to", "target", "endpoint"]),
        Field::with_default(
            "ack_deadline",
            Shape::Duration { least: Duration::from_millis(1), most: MAX_DELAY },
            "30s",
            "How long a delivery may take to be acknowledged; then it failed.",
        )
        .elsewhere(&["ack_wait", "timeout"]),
        Field::with_default(
            "in_flight",
            Shape::Integer { least: 1, most: MAX_IN_FLIGHT as u64 },
            "1024",
            "How many events may be given and not settled, to all consumers together. A service is called with 256 at a time at \
             most.",
        )
        .elsewhere(&["max_in_flight", "max_ack_pending", "concurrency"]),
        Field::with_default(
            "max_deliveries",
            Shape::Integer { least: 1, most: 1_000 },
            "8",
            "How often an event is given before it is parked.",
        )
        .elsewhere(&["max_attempts", "max_deliver"]),
        Field::optional("backoff", Shape::Record(&BACKOFF), "How long an event waits after it failed.")
            .elsewhere(&["retry", "delay"]),
        Field::with_default(
            "dedup",
            Shape::Integer { least: 0, most: MAX_DEDUP as u64 },
            "0",
            "For how many of the last events a second one with the same id is left out.",
        )
        .elsewhere(&["deduplicate", "dedup_window"]),
        Field::with_default(
            "capacity",
            Shape::Integer { least: 1, most: MAX_CAPACITY as u64 },
            "10000",
            "How many events are held: given, waiting for a consumer, a time or their turn.",
        ),
        Field::with_default(
            "when_full",
            Shape::Choice(&[
                Word { word: "block", doc: "the others wait in the log" },
                Word { word: "reject", doc: "the same, and publishers are refused until there is room" },
                Word {
                    word: "drop-oldest",
                    doc: "what has waited longest for a consumer is left out, and counted",
                },
            ]),
            "block",
            "What happens when as many are held, and there are more.",
        )
        .elsewhere(&["overflow"]),
        Field::with_default(
            "parked_key",
            Shape::Choice(&[
                Word { word: "block", doc: "they wait, so that the order holds" },
                Word { word: "continue", doc: "they run on" },
            ]),
            "block",
            "What the events of a key do when one of them is parked.",
        ),
        Field::with_default(
            "most_parked",
            Shape::Integer { least: 1, most: MAX_PARKED as u64 },
            "1000",
            "How many events may be parked. When there are as many, one that would be is given again and again instead.",
        )
        .elsewhere(&["max_parked"]),
    ],
    rules: &[],
    example: "\
types: [payment.completed]
push: {service: order, path: /events/payments}
max_deliveries: 5
",
};

static PUSH: Record = Record {
    anchor: "subscription-push",
    title: "Push",
    doc: "Each event is sent to the service as a `POST`, by the way of every call: balanced, with its breaker, retries and \
          policies. The caller is `bus.tenon`. Any 2xx, or OK over gRPC, acknowledges the event; 429 and 503 with \
          `Retry-After` have it given again then; everything else, by the back-off. What the mesh answers while the service \
          is out does not count as a delivery.",
    fields: &[
        Field::required(
            "service",
            Shape::Text(&SERVICE_REF),
            "The service that is called: its name, or `name.namespace`.",
        ),
        Field::optional(
            "path",
            Shape::Text(&texts::CHECK_PATH),
            "The path that is posted to. With `mode: grpc` it is the method, \
             `/tenon.bus.v1.ConsumerService/Deliver` if not stated; without, it must be stated.",
        ),
        Field::with_default(
            "mode",
            Shape::Choice(&[
                Word { word: "binary", doc: "the data is the body, the attributes are headers `ce-…`" },
                Word {
                    word: "structured",
                    doc: "the whole event is the body: `application/cloudevents+json`",
                },
                Word {
                    word: "grpc",
                    doc: "a gRPC method is called with the event in CloudEvents' protobuf format",
                },
            ]),
            "binary",
            "The form of the CloudEvent.",
        ),
    ],
    rules: &[],
    example: "service: order\npath: /events/payments\n",
};

static BACKOFF: Record = Record {
    anchor: "subscription-backoff",
    title: "Back-off",
    doc: "How long an event waits after a delivery failed, if the consumer does not say.",
    fields: &[
        Field::optional(
            "delay",
            Shape::Record(&DELAY),
            "How long; exponential from 1 s with factor 2 if not stated.",
        ),
        Field::with_default("jitter", JITTER, "full", "How the wait varies."),
        Field::with_default(
            "max_delay",
            Shape::Duration { least: Duration::ZERO, most: MAX_DELAY },
            "1m",
            "The longest wait, whatever `delay` says.",
        ),
    ],
    rules: &[],
    example: "delay: {exponential: {base: 500ms, factor: 2}}\nmax_delay: 30s\n",
};

const PRINTABLE: &str = "^[!-~]+$";

pub(crate) static SUBSCRIPTION_NAME: TextForm = TextForm {
    noun: "subscription name",
    form: "1 to 63 characters of a-z, 0-9 and '-'",
    characters: 1..=63,
    pattern: Some("^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"),
    check: |text| SubscriptionName::new(text).map(drop).map_err(texts::problem),
};

static EVENT_TYPE: TextForm = TextForm {
    noun: "event type",
    form: "an event's type such as payment.completed",
    characters: 1..=255,
    pattern: Some(PRINTABLE),
    check: |text| EventType::new(text).map(drop).map_err(texts::problem),
};

static TAG: TextForm = TextForm {
    noun: "tag",
    form: "a tag such as order:7",
    characters: 1..=255,
    pattern: Some(PRINTABLE),
    check: |text| Tag::new(text).map(drop).map_err(texts::problem),
};

static STREAM: TextForm = TextForm {
    noun: "beginning of a stream's name",
    form: "how a stream's name begins, such as order/",
    characters: 1..=255,
    pattern: Some(PRINTABLE),
    check: |text| {
        let name = StreamName::new(text).map_err(texts::problem)?;
        if name.is_reserved() {
            Err("is of Tenon's own streams, which are not served".to_owned())
        } else {
            Ok(())
        }
    },
};

static START: TextForm = TextForm {
    noun: "start",
    form: "`beginning`, `end`, a position, or a time such as 2026-03-01T12:00:00Z",
    characters: 1..=64,
    pattern: None,
    check: |text| parse_start(text).map(drop).map_err(|_| "is none of these".to_owned()),
};

static ORDER: TextForm = TextForm {
    noun: "order",
    form: "`stream`, `none`, or `tag:` and how a tag begins",
    characters: 1..=259,
    pattern: Some("^(stream|none|tag:[!-~]+)$"),
    check: |text| parse_ordering(text).map(drop).map_err(|_| "is none of these".to_owned()),
};

pub(crate) static SERVICE_REF: TextForm = TextForm {
    noun: "service",
    form: "a service's name, or name.namespace",
    characters: 1..=127,
    pattern: Some("^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)?$"),
    check: |text| text.parse::<ServiceRef>().map(drop).map_err(texts::problem),
};
