use super::*;
use crate::metrics::{HistogramDescriptor, Registry};

static CALLS: Descriptor =
    Descriptor { name: "calls_total", help: "Calls\nof \\ all.", labels: &["to", "route"] };
static OPEN: Descriptor = Descriptor { name: "open", help: "Open.", labels: &[] };
static TOOK: HistogramDescriptor = HistogramDescriptor {
    of: Descriptor { name: "took_seconds", help: "Took.", labels: &["to"] },
    bounds: &[Duration::from_micros(2_500), Duration::from_secs(1)],
};

#[test]
fn metrics_are_written_in_the_exposition_format() {
    let registry = Registry::new();
    let shard = registry.shard();
    shard.counter(&CALLS, &["payment", ""]).add(7);
    shard.gauge(&OPEN, &[]).decrement();
    let took = shard.histogram(&TOOK, &["payment"]);
    took.record(Duration::from_millis(1));
    took.record(Duration::from_secs(3));
    let expected = "\
# HELP calls_total Calls\\nof \\\\ all.
# TYPE calls_total counter
calls_total{to=\"payment\",route=\"\"} 7
# HELP open Open.
# TYPE open gauge
open -1
# HELP took_seconds Took.
# TYPE took_seconds histogram
took_seconds_bucket{to=\"payment\",le=\"0.0025\"} 1
took_seconds_bucket{to=\"payment\",le=\"1\"} 1
took_seconds_bucket{to=\"payment\",le=\"+Inf\"} 2
took_seconds_sum{to=\"payment\"} 3.001
took_seconds_count{to=\"payment\"} 2
";
    assert_eq!(render(&registry.gather()), expected);
}

#[test]
fn label_values_cannot_break_out_of_their_quotes() {
    let registry = Registry::new();
    registry.shard().counter(&CALLS, &["a\"} 1\nevil{x=\"", "b\\"]).increment();
    let text = render(&registry.gather());
    assert!(text.contains(r#"calls_total{to="a\"} 1\nevil{x=\"",route="b\\"} 1"#), "{text}");
    assert_eq!(text.lines().count(), 3);
}
