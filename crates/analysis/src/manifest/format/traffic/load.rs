//! How a service is kept from more than it can bear: hedging, adaptive concurrency, priorities.

use super::{DAY, INSTANT};
use crate::manifest::format::{Field, Record, Rule, Shape, Word};
use std::time::Duration;
use tenon_core::concurrency::Config;
use tenon_core::hedge::Policy;

pub(super) static HEDGE: Record = Record {
    anchor: "traffic-hedge",
    title: "Hedge",
    doc: "A second try beside a first one that is slow, at another instance; the first good answer counts. Only for \
          calls that are idempotent, and paid for from the retry budget.",
    fields: &[
        Field::optional(
            "after",
            Shape::Duration { least: INSTANT, most: DAY },
            "How slow the first must be.",
        )
        .elsewhere(&["delay", "hedging_delay"]),
        Field::optional(
            "percentile",
            Shape::Integer {
                least: *Policy::PERCENTILE.start() as u64,
                most: *Policy::PERCENTILE.end() as u64,
            },
            "Likewise: slower than this share of the service's answers, in percent, as far as 100 of them tell.",
        ),
        Field::with_default(
            "max",
            Shape::Integer { least: *Policy::MAX.start() as u64, most: *Policy::MAX.end() as u64 },
            "1",
            "The most tries beside the first; each is sent when those before have been slow for as long again.",
        ),
    ],
    rules: &[Rule::ExactlyOne(&["after", "percentile"])],
    example: "after: 50ms\n",
};

pub(super) static CONCURRENCY: Record = Record {
    anchor: "traffic-concurrency",
    title: "Concurrency",
    doc: "An adaptive limit on requests in flight: while answers take hardly longer than at rest it grows, and \
          when they wait in the service it shrinks. What has no place is refused at once.",
    fields: &[
        Field::with_default(
            "min",
            Shape::Integer { least: *Config::LIMIT.start() as u64, most: *Config::LIMIT.end() as u64 },
            "4",
            "The limit is never below.",
        ),
        Field::required(
            "max",
            Shape::Integer { least: *Config::LIMIT.start() as u64, most: *Config::LIMIT.end() as u64 },
            "The limit is never above; nor above `max_in_flight`.",
        ),
        Field::with_default(
            "tolerance",
            Shape::Integer {
                least: *Config::TOLERANCE.start() as u64,
                most: *Config::TOLERANCE.end() as u64,
            },
            "150",
            "How long answers may take, in percent of what they take at rest.",
        ),
        Field::with_default(
            "window",
            Shape::Duration { least: INSTANT, most: Duration::from_secs(60) },
            "100ms",
            "How long is watched before the limit changes.",
        ),
        Field::with_default(
            "measure_every",
            Shape::Duration { least: Duration::from_secs(1), most: DAY },
            "30s",
            "How often the limit is halved for a moment, to see how long answers take at rest.",
        ),
    ],
    rules: &[],
    example: "min: 10\nmax: 200\n",
};

const PRIORITIES: &[Word] = &[
    Word { word: "critical", doc: "refused last" },
    Word { word: "default", doc: "as most calls" },
    Word { word: "sheddable", doc: "refused first: what can be left out" },
];

pub(super) static PRIORITY: Record = Record {
    anchor: "traffic-priority",
    title: "Priority",
    doc: "Calls say how much they matter in the header `tenon-priority`, which is believed from inside the mesh and \
          passed on. As the limit on requests in flight fills, those that matter less are refused first.",
    fields: &[
        Field::with_default(
            "calls",
            Shape::Choice(PRIORITIES),
            "default",
            "What calls to this service are that don't say what they are.",
        ),
        Field::with_default(
            "sheddable",
            Shape::Integer { least: 1, most: 100 },
            "70",
            "The share of the limit that sheddable calls may fill, in percent; no more than `default`'s.",
        ),
        Field::with_default(
            "default",
            Shape::Integer { least: 1, most: 100 },
            "100",
            "The share of the limit that default calls may fill, in percent. The rest is for critical ones.",
        ),
    ],
    rules: &[],
    example: "sheddable: 50\ndefault: 90\n",
};
