//! What is recorded of requests.

use super::{Field, Record, Shape, Word, texts};
use std::time::Duration;

pub(crate) static TELEMETRY: Record = Record {
    anchor: "telemetry",
    title: "Telemetry",
    doc: "What is recorded of requests besides metrics and explanations.",
    fields: &[
        Field::with_default(
            "sampling",
            Shape::Share,
            "1.0",
            "Which share of the traces that begin here is kept. A trace that comes with a `traceparent` is kept as \
             that says.",
        )
        .elsewhere(&["sample_rate", "sampling_ratio"]),
        Field::with_default(
            "slow",
            Shape::Duration { least: Duration::from_millis(1), most: Duration::from_secs(86_400) },
            "1s",
            "From when on a request is slow. The spans of slow requests and of failed ones are kept whatever \
             `sampling` says.",
        ),
        Field::with_default(
            "access_log",
            Shape::Choice(&[
                Word { word: "off", doc: "nothing is written" },
                Word {
                    word: "errors",
                    doc: "what was refused, tried again, failed or given up by its caller",
                },
                Word { word: "all", doc: "every request" },
            ]),
            "off",
            "Which requests are written to `logs/tenon.access.log` in the data folder, each a line of JSON.",
        ),
        Field::optional(
            "otlp",
            Shape::Text(&texts::HTTP_URL),
            "Where spans are sent: the address of an OpenTelemetry collector that takes OTLP over HTTP, for example \
             `http://127.0.0.1:4318`.",
        )
        .elsewhere(&["exporter", "collector", "otlp_endpoint"]),
    ],
    rules: &[],
    example: "\
sampling: 0.1
slow: 500ms
access_log: errors
otlp: http://127.0.0.1:4318
",
};
