//! When to stop calling a service.

use super::{DAY, INSTANT};
use crate::manifest::format::{Field, Record, Rule, Shape, Word};
use tenon_core::breaker::{Config, Window};

/// The word for every status from 500 on but 501.
pub(crate) const SERVER_ERROR: &str = "server-error";

pub(super) static BREAKER: Record = Record {
    anchor: "traffic-breaker",
    title: "Breaker",
    doc: "A circuit breaker for each service that is called: *closed*, calls pass; when what becomes of them is too bad, it \
          *opens* and refuses calls for `open_timeout`; then, *half-open*, it admits a few calls, and closes if those are \
          good enough. By default it opens after `failure_threshold` failures in a row, and all permitted calls must succeed. \
          With a `window`, it opens when the share of failures, or of slow calls, among the calls of that window reaches a \
          rate, and the share among the permitted calls must be below it.",
    fields: &[
        Field::with_default(
            "mode",
            Shape::Choice(&[
                Word { word: "automatic", doc: "it opens and closes" },
                Word { word: "disabled", doc: "every call passes" },
                Word { word: "metrics-only", doc: "every call passes, and metrics say when it would have opened" },
                Word { word: "forced-open", doc: "no call passes" },
            ]),
            "automatic",
            "Whether it does anything.",
        )
        .elsewhere(&["state"]),
        Field::with_default(
            "window",
            Shape::Either(
                &Shape::Choice(&[Word { word: "consecutive", doc: "as many as failed one after the other" }]),
                &Shape::Record(&WINDOW),
            ),
            "consecutive",
            "Which calls it looks back at.",
        )
        .elsewhere(&["sliding_window", "sliding_window_type"]),
        Field::with_default(
            "failure_threshold",
            Shape::Integer { least: 1, most: *Config::FAILURE_THRESHOLD.end() as u64 },
            "5",
            "Failures in a row that open it, without another window.",
        )
        .elsewhere(&["consecutive_failures", "max_failures"]),
        Field::with_default(
            "minimum_calls",
            Shape::Integer { least: 1, most: u32::MAX as u64 },
            "100",
            "The fewest calls in a window that say something; of a window of calls no more than its size.",
        )
        .elsewhere(&["minimum_number_of_calls", "request_volume_threshold"]),
        Field::with_default(
            "failure_rate_percent",
            Shape::Integer { least: 1, most: 100 },
            "50",
            "Failures among 100 calls of a window that open it.",
        )
        .elsewhere(&["failure_rate", "failure_rate_threshold", "error_threshold_percentage"]),
        Field::optional("slow_call", Shape::Record(&SLOW_CALL), "When slow calls open it too; only with a window."),
        Field::with_default(
            "open_timeout",
            Shape::Duration { least: INSTANT, most: DAY },
            "1m",
            "How long it refuses every call.",
        )
        .elsewhere(&["wait_duration_in_open_state", "reset_timeout", "sleep_window"]),
        Field::with_default(
            "permitted_half_open_calls",
            Shape::Integer { least: 1, most: *Config::PERMITTED_HALF_OPEN_CALLS.end() as u64 },
            "3",
            "How many calls a half-open breaker admits.",
        )
        .elsewhere(&["permitted_number_of_calls_in_half_open_state"]),
        Field::with_default(
            "half_open_max_wait",
            Shape::Duration { least: INSTANT, most: DAY },
            "1m",
            "How long it waits for those calls before it takes them for lost and admits another. Should be \
             longer than a call may take.",
        )
        .elsewhere(&["max_wait_duration_in_half_open_state"]),
        Field::with_default(
            "failures",
            OUTCOMES,
            "[network, timeout, server-error, grpc-deadline-exceeded, grpc-internal, grpc-unavailable, grpc-data-loss]",
            "Which outcomes are failures, here and for `outlier`: the words, and HTTP statuses.",
        )
        .elsewhere(&["record", "record_exceptions"]),
        Field::with_default(
            "ignored",
            OUTCOMES,
            "[]",
            "Which outcomes are neither failures nor successes, whatever `failures` says.",
        )
        .elsewhere(&["ignore", "ignore_exceptions"]),
    ],
    rules: &[],
    example: "\
window: {count: 50}
minimum_calls: 20
failure_rate_percent: 40
slow_call: {longer_than: 2s, rate_percent: 80}
open_timeout: 15s
",
};

static WINDOW: Record = Record {
    anchor: "traffic-breaker-window",
    title: "Window",
    doc: "The calls that a breaker looks back at: the last so many, or those of the last so long.",
    fields: &[
        Field::optional(
            "count",
            Shape::Integer { least: *Window::SIZE.start() as u64, most: *Window::SIZE.end() as u64 },
            "The last so many calls.",
        )
        .elsewhere(&["size", "sliding_window_size"]),
        Field::optional(
            "time",
            Shape::Duration { least: INSTANT, most: DAY },
            "The calls that ended within the last so long, in steps of a tenth of it.",
        )
        .elsewhere(&["span", "duration"]),
    ],
    rules: &[Rule::ExactlyOne(&["count", "time"])],
    example: "time: 30s\n",
};

static SLOW_CALL: Record = Record {
    anchor: "traffic-breaker-slow-call",
    title: "Slow call",
    doc: "When calls that take too long open a breaker.",
    fields: &[
        Field::required(
            "longer_than",
            Shape::Duration { least: INSTANT, most: DAY },
            "A call is slow that takes longer until the head of its response.",
        )
        .elsewhere(&["duration", "slow_call_duration_threshold"]),
        Field::with_default(
            "rate_percent",
            Shape::Integer { least: 1, most: 100 },
            "100",
            "Slow calls among 100 of a window that open it.",
        )
        .elsewhere(&["rate", "slow_call_rate_threshold"]),
    ],
    rules: &[],
    example: "longer_than: 2s\nrate_percent: 80\n",
};

const OUTCOMES: Shape = Shape::List {
    item: &Shape::Either(&Shape::Integer { least: 400, most: 599 }, &Shape::Choice(WORDS)),
    least: 0,
    most: 200,
};

const WORDS: &[Word] = &[
    Word { word: "network", doc: "no connection, or one that broke" },
    Word { word: "timeout", doc: "no answer in time" },
    Word { word: SERVER_ERROR, doc: "an HTTP status from 500 on but 501" },
    Word { word: "grpc-cancelled", doc: "gRPC status 1" },
    Word { word: "grpc-unknown", doc: "gRPC status 2" },
    Word { word: "grpc-deadline-exceeded", doc: "gRPC status 4" },
    Word { word: "grpc-resource-exhausted", doc: "gRPC status 8" },
    Word { word: "grpc-aborted", doc: "gRPC status 10" },
    Word { word: "grpc-internal", doc: "gRPC status 13" },
    Word { word: "grpc-unavailable", doc: "gRPC status 14" },
    Word { word: "grpc-data-loss", doc: "gRPC status 15" },
];
