//! When an instance is left out.

use super::{DAY, INSTANT};
use crate::manifest::format::{Field, Record, Shape};
use tenon_core::outlier::Config;

pub(super) static OUTLIER: Record = Record {
    anchor: "traffic-outlier",
    title: "Outlier",
    doc: "An instance that does worse than the others of its service is *ejected*: it gets no calls for a while, and for \
          longer each time. There is always somebody left: no more than `max_ejected_percent` of the instances are out at \
          once (of two or more, one always may be), and a service's only instance never is.",
    fields: &[
        Field::with_default(
            "consecutive_failures",
            Shape::Integer { least: 0, most: *Config::CONSECUTIVE_FAILURES.end() as u64 },
            "5",
            "Failures in a row that eject an instance; what a failure is, `breaker` says. 0 switches this off.",
        )
        .elsewhere(&["consecutive_errors", "consecutive_5xx", "consecutive_gateway_failure"]),
        Field::with_default(
            "consecutive_refusals",
            Shape::Integer { least: 0, most: *Config::CONSECUTIVE_REFUSALS.end() as u64 },
            "2",
            "Attempts in a row that found no connection that eject an instance. 0 switches this off.",
        )
        .elsewhere(&["consecutive_connect_failures", "consecutive_local_origin_failure"]),
        Field::with_default(
            "success_rate",
            Shape::Either(&Shape::Boolean, &Shape::Record(&SUCCESS_RATE)),
            "true",
            "Whether instances are compared by their share of successes: `true`, `false`, or how.",
        ),
        Field::with_default(
            "latency",
            Shape::Either(&Shape::Boolean, &Shape::Record(&LATENCY)),
            "false",
            "Whether instances are compared by how long they take: `true`, `false`, or how.",
        ),
        Field::with_default(
            "interval",
            Shape::Duration { least: INSTANT, most: DAY },
            "10s",
            "How often instances are compared.",
        ),
        Field::with_default(
            "base_ejection",
            Shape::Duration { least: INSTANT, most: DAY },
            "30s",
            "How long the first ejection lasts; the second lasts twice as long, and so on. Each interval that an \
             instance is in makes up for one.",
        )
        .elsewhere(&["base_ejection_time"]),
        Field::with_default(
            "max_ejection",
            Shape::Duration { least: INSTANT, most: DAY },
            "5m",
            "How long an ejection lasts at most.",
        )
        .elsewhere(&["max_ejection_time"]),
        Field::with_default(
            "max_ejected_percent",
            Shape::Integer { least: 0, most: 100 },
            "50",
            "How many of each 100 instances may be out at once. 0 switches ejection off.",
        )
        .elsewhere(&["max_ejection_percent"]),
    ],
    rules: &[],
    example: "\
consecutive_failures: 3
latency: {factor_percent: 500}
base_ejection: 10s
",
};

static SUCCESS_RATE: Record = Record {
    anchor: "traffic-outlier-success-rate",
    title: "Success rate",
    doc: "An instance is ejected if its share of successes in an interval is far below the mean of all instances.",
    fields: &[
        Field::with_default(
            "minimum_calls",
            Shape::Integer { least: 1, most: u32::MAX as u64 },
            "100",
            "The fewest calls in an interval that say something about an instance.",
        )
        .elsewhere(&["request_volume", "success_rate_request_volume"]),
        Field::with_default(
            "minimum_instances",
            Shape::Integer { least: 2, most: 1_000 },
            "5",
            "The fewest instances with so many calls that are worth comparing.",
        )
        .elsewhere(&["minimum_hosts", "success_rate_minimum_hosts"]),
        Field::with_default(
            "deviations_thousandths",
            Shape::Integer { least: 0, most: 100_000 },
            "1900",
            "How many standard deviations below the mean are too far, in thousandths.",
        )
        .elsewhere(&["stdev_factor", "success_rate_stdev_factor"]),
    ],
    rules: &[],
    example: "minimum_calls: 50\nminimum_instances: 3\n",
};

static LATENCY: Record = Record {
    anchor: "traffic-outlier-latency",
    title: "Latency",
    doc: "An instance is ejected if its calls take much longer in the mean of an interval than the median of the others.",
    fields: &[
        Field::with_default(
            "minimum_calls",
            Shape::Integer { least: 1, most: u32::MAX as u64 },
            "100",
            "The fewest calls in an interval that say something about an instance.",
        ),
        Field::with_default(
            "factor_percent",
            Shape::Integer { least: 101, most: 100_000 },
            "300",
            "How much is too much, in hundredths: 300 is three times as long.",
        )
        .elsewhere(&["factor"]),
    ],
    rules: &[],
    example: "factor_percent: 500\n",
};
