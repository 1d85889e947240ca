//! How calls to a service are treated.

mod breaker;
mod load;
mod outlier;

use self::breaker::BREAKER;
pub(crate) use self::breaker::SERVER_ERROR;
use self::outlier::OUTLIER;
use super::balance::{BALANCE, STRATEGIES};
use super::policy::ATTACHED;
use super::security::{AUTHORIZATION, MTLS};
use super::{Field, Record, Rule, Shape, Word};
use std::time::Duration;
use tenon_core::retry;

const INSTANT: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);

pub(crate) static TRAFFIC: Record = Record {
    anchor: "traffic",
    title: "Traffic",
    doc: "How calls to a service are treated by the sidecar of whoever calls it, and by the gateway.",
    fields: &[
        Field::with_default(
            "balance",
            Shape::Either(&Shape::Choice(STRATEGIES), &Shape::Record(&BALANCE)),
            "round-robin",
            "How an instance is chosen: the name of a strategy, or more.",
        )
        .elsewhere(&["load_balancing", "lb", "strategy"]),
        Field::with_default(
            "timeout",
            Shape::Duration { least: INSTANT, most: DAY },
            "30s",
            "How long a call may take with all its retries. A caller's shorter deadline wins.",
        ),
        Field::with_default(
            "max_in_flight",
            Shape::Integer { least: 1, most: u32::MAX as u64 },
            "10000",
            "The most requests in flight to the service from one data plane; more are refused at once.",
        )
        .elsewhere(&["max_requests"]),
        Field::optional("limits", Shape::Record(&LIMITS), "How much else may go on at once.")
            .elsewhere(&["bulkhead", "connection_pool", "max_connections"]),
        Field::optional("retry", Shape::Record(&RETRY), "When and how a failed call is tried again.")
            .elsewhere(&["retries"]),
        Field::optional(
            "hedge",
            Shape::Record(&load::HEDGE),
            "When a second try goes out beside a slow first one; never if not stated.",
        )
        .elsewhere(&["hedging", "hedge_policy"]),
        Field::optional(
            "concurrency",
            Shape::Record(&load::CONCURRENCY),
            "Finds by itself how many requests the service can work on; only `max_in_flight` holds if not stated.",
        )
        .elsewhere(&["adaptive_concurrency", "concurrency_limit"]),
        Field::optional(
            "priority",
            Shape::Record(&load::PRIORITY),
            "Which calls are refused first when those limits come near.",
        )
        .elsewhere(&["load_shedding", "shedding"]),
        Field::optional("breaker", Shape::Record(&BREAKER), "When to stop calling.")
            .elsewhere(&["circuit_breaker"]),
        Field::optional("outlier", Shape::Record(&OUTLIER), "When to leave an instance out.")
            .elsewhere(&["outlier_detection", "ejection"]),
        Field::optional(
            "policies",
            ATTACHED,
            "Policies that hold for calls to the service, by their names. Those that `\"*\"` attaches hold besides.",
        )
        .elsewhere(&["policy"]),
        MTLS,
        AUTHORIZATION,
    ],
    rules: &[],
    example: "\
balance: least-connections
timeout: 2s
retry: {max_retries: 2}
breaker: {failure_threshold: 10, open_timeout: 15s}
",
    };

static RETRY: Record = Record {
    anchor: "traffic-retry",
    title: "Retry",
    doc: "A call is tried again only where that is safe: its method is idempotent (RFC 9110, 9.2.2), it has \
          an `idempotency-key` header, or it was certainly never processed.",
    fields: &[
        Field::with_default(
            "max_retries",
            Shape::Integer { least: 0, most: 100 },
            "3",
            "The most retries: a call is tried once more than this. 0 switches retries off.",
        )
        .elsewhere(&["attempts", "num_retries", "max_attempts"]),
        Field::optional(
            "delay",
            Shape::Record(&DELAY),
            "How long to wait before each retry; exponential from 25 ms with factor 2 if not stated.",
        )
        .elsewhere(&["backoff", "wait"]),
        Field::with_default(
            "jitter",
            JITTER,
            "full",
            "How the delay varies, so that calls that failed together do not return together.",
        ),
        Field::with_default(
            "max_delay",
            Shape::Duration { least: Duration::ZERO, most: DAY },
            "1s",
            "The longest wait, whatever `delay` says.",
        ),
        Field::optional(
            "per_try_timeout",
            Shape::Duration { least: INSTANT, most: DAY },
            "How long one try may take; as long as the call if not stated.",
        ),
        Field::with_default(
            "retry_on",
            Shape::List {
                item: &Shape::Either(&Shape::Integer { least: 400, most: 599 }, &Shape::Choice(REASONS)),
                least: 0,
                most: 100,
            },
            "[connect-failure, reset, per-try-timeout, 502, 503, 504, grpc-unavailable]",
            "Which outcomes are tried again: the words above, and HTTP statuses.",
        )
        .elsewhere(&["on", "conditions", "retryOn"]),
        Field::with_default(
            "non_idempotent",
            Shape::Boolean,
            "false",
            "Whether calls that are not idempotent are tried again too. Only for services that notice \
             duplicates.",
        ),
        Field::with_default(
            "retry_after",
            Shape::Boolean,
            "true",
            "Whether an answer that says when to come back (`Retry-After`, `grpc-retry-pushback-ms`) is believed. If it \
             asks for more than `max_delay`, the call is not tried again.",
        ),
        Field::optional("budget", Shape::Record(&BUDGET), "How many retries all calls together may cause."),
    ],
    rules: &[],
    example: "\
max_retries: 2
delay: {exponential: {base: 50ms, factor: 2}}
per_try_timeout: 500ms
retry_on: [connect-failure, reset, 503]
",
};

/// How a delay varies.
pub(crate) const JITTER: Shape = Shape::Choice(&[
    Word { word: "full", doc: "anything from nothing to the whole delay" },
    Word { word: "decorrelated", doc: "anything from the first delay to three times the wait before" },
    Word { word: "none", doc: "always the whole delay" },
]);

const REASONS: &[Word] = &[
    Word { word: "connect-failure", doc: "no connection, or refused before it was processed" },
    Word { word: "reset", doc: "the connection broke before an answer came" },
    Word { word: "per-try-timeout", doc: "the try took longer than `per_try_timeout`" },
    Word { word: "grpc-cancelled", doc: "gRPC status 1" },
    Word { word: "grpc-unknown", doc: "gRPC status 2" },
    Word { word: "grpc-deadline-exceeded", doc: "gRPC status 4" },
    Word { word: "grpc-resource-exhausted", doc: "gRPC status 8" },
    Word { word: "grpc-aborted", doc: "gRPC status 10" },
    Word { word: "grpc-internal", doc: "gRPC status 13" },
    Word { word: "grpc-unavailable", doc: "gRPC status 14" },
];

/// The gRPC status that a word for an outcome stands for (`grpc/grpc` `doc/statuscodes.md`).
pub(crate) fn grpc_status(word: &str) -> Option<u8> {
    Some(match word {
        "grpc-cancelled" => 1,
        "grpc-unknown" => 2,
        "grpc-deadline-exceeded" => 4,
        "grpc-resource-exhausted" => 8,
        "grpc-aborted" => 10,
        "grpc-internal" => 13,
        "grpc-unavailable" => 14,
        "grpc-data-loss" => 15,
        _ => return None,
    })
}

pub(crate) static DELAY: Record = Record {
    anchor: "traffic-retry-delay",
    title: "Delay",
    doc: "How long to wait before each retry, in one of three ways.",
    fields: &[
        Field::optional("fixed", Shape::Duration { least: Duration::ZERO, most: DAY }, "Always the same.")
            .elsewhere(&["constant"]),
        Field::optional("linear", Shape::Record(&LINEAR), "Longer by the same amount each time."),
        Field::optional("exponential", Shape::Record(&EXPONENTIAL), "Longer by the same factor each time."),
    ],
    rules: &[Rule::ExactlyOne(&["fixed", "linear", "exponential"])],
    example: "exponential: {base: 50ms, factor: 2}\n",
};

static LINEAR: Record = Record {
    anchor: "traffic-retry-delay-linear",
    title: "Linear delay",
    doc: "`base`, then longer by `increment` each time.",
    fields: &[
        Field::required(
            "base",
            Shape::Duration { least: Duration::ZERO, most: DAY },
            "Before the first retry.",
        ),
        Field::required(
            "increment",
            Shape::Duration { least: Duration::ZERO, most: DAY },
            "What is added for each further one.",
        ),
    ],
    rules: &[],
    example: "base: 50ms\nincrement: 50ms\n",
};

static EXPONENTIAL: Record = Record {
    anchor: "traffic-retry-delay-exponential",
    title: "Exponential delay",
    doc: "`base`, then `factor` times as long each time.",
    fields: &[
        Field::required(
            "base",
            Shape::Duration { least: Duration::ZERO, most: DAY },
            "Before the first retry.",
        ),
        Field::with_default(
            "factor",
            Shape::Integer { least: 1, most: 100 },
            "2",
            "What each further one is multiplied by.",
        ),
    ],
    rules: &[],
    example: "base: 50ms\nfactor: 2\n",
};

static BUDGET: Record = Record {
    anchor: "traffic-retry-budget",
    title: "Retry budget",
    doc: "How many retries all calls to the service together may cause, so that a service in trouble is not \
          buried: over any time at most `percent` of the calls, `per_second` for every second, and `burst`.",
    fields: &[
        Field::with_default(
            "percent",
            Shape::Integer { least: 0, most: *retry::budget::Config::PERCENT.end() as u64 },
            "20",
            "Retries for every 100 calls.",
        ),
        Field::with_default(
            "per_second",
            Shape::Integer { least: 0, most: 1_000_000 },
            "10",
            "Retries for every second besides, so that a service with few calls can have some too.",
        ),
        Field::with_default(
            "burst",
            Shape::Integer { least: 0, most: *retry::budget::Config::BURST.end() as u64 },
            "500",
            "The most retries that can be saved up; there are as many at the start.",
        ),
    ],
    rules: &[],
    example: "percent: 10\nper_second: 5\nburst: 100\n",
};

static LIMITS: Record = Record {
    anchor: "traffic-limits",
    title: "Limits",
    doc: "How much may go on at once at a service, from one data plane, besides `max_in_flight`. What has no place is \
          refused at once with `mesh.overloaded`, which says which limit it was; there is no queue.",
    fields: &[
        Field::with_default(
            "connections",
            Shape::Integer { least: 1, most: u32::MAX as u64 },
            "10000",
            "The most calls at one instance at a time, which over HTTP/1.1 is the connections in use. An instance that has so \
             many is not chosen.",
        )
        .elsewhere(&["max_connections", "per_instance"]),
        Field::with_default(
            "pending",
            Shape::Integer { least: 0, most: u32::MAX as u64 },
            "10000",
            "The most calls that wait for an instance of a service that has none at the moment.",
        )
        .elsewhere(&["max_pending_requests", "queue"]),
    ],
    rules: &[],
    example: "connections: 100\npending: 50\n",
};
