use super::*;
use proptest::prelude::*;

static REQUESTS: Descriptor =
    Descriptor { name: "requests_total", help: "Requests.", labels: &["source", "class"] };
static OPEN: Descriptor = Descriptor { name: "open", help: "Open.", labels: &[] };
static TOOK: HistogramDescriptor = HistogramDescriptor {
    of: Descriptor { name: "took_seconds", help: "Took.", labels: &["source"] },
    bounds: &[Duration::from_millis(1), Duration::from_millis(10)],
};

fn reading(registry: &Registry, name: &str, labels: &[&str]) -> Option<Reading> {
    let families = registry.gather();
    let family = families.iter().find(|family| family.descriptor.name == name)?;
    let series = family
        .series
        .iter()
        .find(|series| series.labels.iter().map(AsRef::as_ref).eq(labels.iter().copied()))?;
    Some(series.reading.clone())
}

#[test]
fn what_threads_recorded_is_added_up() {
    let registry = Registry::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let counter = registry.shard().counter(&REQUESTS, &["order", "2xx"]);
                (0..10_000).for_each(|_| counter.increment());
            });
        }
    });
    assert_eq!(reading(&registry, "requests_total", &["order", "2xx"]), Some(Reading::Counter(40_000)));
}

#[test]
fn a_handle_asked_for_twice_is_the_same_series() {
    let registry = Registry::new();
    let shard = registry.shard();
    shard.counter(&REQUESTS, &["a", "b"]).increment();
    shard.counter(&REQUESTS, &["a", "b"]).add(2);
    assert_eq!(reading(&registry, "requests_total", &["a", "b"]), Some(Reading::Counter(3)));
}

#[test]
fn gauges_of_shards_may_be_negative_and_sum_to_the_truth() {
    let registry = Registry::new();
    let (one, other) = (registry.shard().gauge(&OPEN, &[]), registry.shard().gauge(&OPEN, &[]));
    one.increment();
    one.increment();
    other.decrement();
    assert_eq!(reading(&registry, "open", &[]), Some(Reading::Gauge(1)));
}

#[test]
fn a_duration_falls_in_the_first_bucket_whose_bound_it_does_not_exceed() {
    let registry = Registry::new();
    let took = registry.shard().histogram(&TOOK, &["order"]);
    for micros in [0, 1_000, 1_001, 10_000, 10_001] {
        took.record(Duration::from_micros(micros));
    }
    let expected = Reading::Histogram {
        bounds: TOOK.bounds,
        buckets: vec![2, 2, 1],
        sum: Duration::from_micros(22_002),
    };
    assert_eq!(reading(&registry, "took_seconds", &["order"]), Some(expected));
}

#[test]
fn too_many_label_values_are_counted_together() {
    let registry = Registry::new();
    let shard = registry.shard();
    for number in 0..MAX_SERIES + 10 {
        shard.counter(&REQUESTS, &[&number.to_string(), "2xx"]).increment();
    }
    assert_eq!(reading(&registry, "requests_total", &[OVERFLOW, OVERFLOW]), Some(Reading::Counter(10)));
    shard.counter(&REQUESTS, &["0", "2xx"]).increment();
    assert_eq!(reading(&registry, "requests_total", &["0", "2xx"]), Some(Reading::Counter(2)));
}

#[test]
fn an_observed_gauge_is_read_when_gathered() {
    let registry = Registry::new();
    registry.observe(&REQUESTS, Box::new(|report| report(&["payment", ""], 2)));
    assert_eq!(reading(&registry, "requests_total", &["payment", ""]), Some(Reading::Gauge(2)));
}

/// Reads of a metric as if one thread had recorded everything.
fn gathered(shares: &[Vec<u64>]) -> (Option<Reading>, Option<Reading>) {
    let registry = Registry::new();
    for share in shares {
        let shard = registry.shard();
        let (counter, took) = (shard.counter(&REQUESTS, &["a", "b"]), shard.histogram(&TOOK, &["order"]));
        for micros in share {
            counter.add(*micros);
            took.record(Duration::from_micros(*micros));
        }
    }
    (reading(&registry, "requests_total", &["a", "b"]), reading(&registry, "took_seconds", &["order"]))
}

proptest! {
    #[test]
    fn however_it_is_shared_out_the_sum_is_the_same(
        shares in prop::collection::vec(prop::collection::vec(0..20_000_u64, 0..20), 1..5),
        turn in any::<prop::sample::Index>(),
    ) {
        let together = vec![shares.concat()];
        prop_assert_eq!(gathered(&shares), gathered(&together));
        let mut turned = shares.clone();
        turned.rotate_left(turn.index(shares.len()));
        prop_assert_eq!(gathered(&turned), gathered(&together));
    }
}
