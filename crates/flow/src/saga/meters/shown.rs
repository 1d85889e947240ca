//! The meters in the text format of Prometheus.

use super::super::names::SHARDS;
use super::{CALLED, ENDS, Meters, OfSaga, Took, WAYS, Way, lock};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tenon_telemetry::Descriptor;
use tenon_telemetry::metrics::{Family, Reading, Series};
use tenon_telemetry::prometheus::render;

const OF_ALL: &[&str] = &[];
const OF_SHARD: &[&str] = &["shard"];
const OF_SAGA: &[&str] = &["saga"];
const OF_END: &[&str] = &["saga", "outcome"];
const OF_STEP: &[&str] = &["saga", "step", "direction"];
const OF_CALL: &[&str] = &["saga", "step", "direction", "outcome"];

macro_rules! described {
    ($($name:ident = $metric:literal $labels:ident $help:literal;)*) => {
        $(static $name: Descriptor = Descriptor { name: $metric, help: $help, labels: $labels };)*
    };
}

described! {
    CALLS = "tenon_saga_calls_total" OF_CALL "Calls of steps that were answered or given up, by what came of them.";
    CALL_SECONDS = "tenon_saga_call_duration_seconds" OF_STEP "How long calls of steps took, from when they were made.";
    IN_FLIGHT = "tenon_saga_calls_in_flight" OF_ALL "Calls of steps that are under way.";
    WAITING = "tenon_saga_calls_waiting" OF_ALL "Calls of steps that wait until fewer are under way.";
    COMPENSATION = "tenon_saga_compensation_duration_seconds" OF_SAGA "How long it took from the turn back to the end.";
    DURATION = "tenon_saga_duration_seconds" OF_END "How long sagas took, from the beginning to the end.";
    PARKED_STEPS = "tenon_saga_parked_total" OF_STEP "Steps that came to wait for somebody.";
    REPEATED = "tenon_saga_repeated_total" OF_STEP "Calls that were made again after a crash or a change of servers.";
    RETRIED = "tenon_saga_retried_total" OF_STEP "Calls that failed and were to be tried again.";
    ENDED = "tenon_sagas_ended_total" OF_END "Sagas that have ended, by how.";
    PARKED = "tenon_sagas_parked" OF_SAGA "Sagas that run and wait for somebody.";
    PUT_OFF = "tenon_sagas_put_off" OF_ALL "Sagas of this server that it has not taken up yet: unreadable, no room, or their tasks panic.";
    SHARD = "tenon_sagas_shard" OF_SHARD "Whether this server has a share of the sagas.";
    RUNNING = "tenon_sagas_running" OF_SAGA "Sagas that run on this server.";
    STARTED = "tenon_sagas_started_total" OF_SAGA "Sagas that were started.";
}

impl Meters {
    /// What was counted, as Prometheus has it.
    pub(in crate::saga) fn shown(
        &self,
        own: &BTreeSet<u8>,
        in_flight: usize,
        waiting: usize,
        put_off: usize,
    ) -> String {
        let sagas: Vec<(String, Arc<OfSaga>)> =
            self.all().of.iter().map(|(name, saga)| (name.clone(), Arc::clone(saga))).collect();
        render(&[
            of_calls(&sagas),
            of_ways(&CALL_SECONDS, &sagas, |way| way.took.reading()),
            of_all(&IN_FLIGHT, in_flight),
            of_all(&WAITING, waiting),
            of_sagas(&COMPENSATION, &sagas, |saga| saga.compensations.reading()),
            of_ends(&DURATION, &sagas, Took::reading),
            of_ways(&PARKED_STEPS, &sagas, |way| counter(&way.parked)),
            of_ways(&REPEATED, &sagas, |way| counter(&way.repeated)),
            of_ways(&RETRIED, &sagas, |way| counter(&way.retried)),
            of_ends(&ENDED, &sagas, |took| Reading::Counter(took.count())),
            of_sagas(&PARKED, &sagas, |saga| gauge(&saga.parked)),
            of_sagas(&RUNNING, &sagas, |saga| gauge(&saga.running)),
            of_all(&PUT_OFF, put_off),
            of_shards(own),
            of_sagas(&STARTED, &sagas, |saga| counter(&saga.started)),
        ])
    }
}

type Sagas = [(String, Arc<OfSaga>)];

fn of_all(descriptor: &'static Descriptor, value: usize) -> Family {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    Family { descriptor, series: vec![series(&[], Reading::Gauge(value))] }
}

fn of_sagas(descriptor: &'static Descriptor, sagas: &Sagas, read: impl Fn(&OfSaga) -> Reading) -> Family {
    let series = sagas.iter().map(|(name, saga)| series(&[name], read(saga)));
    Family { descriptor, series: series.collect() }
}

fn of_shards(own: &BTreeSet<u8>) -> Family {
    let has_it = |number: u8| Reading::Gauge(i64::from(own.contains(&number)));
    let of = (0..SHARDS).map(|number| series(&[&number.to_string()], has_it(number)));
    Family { descriptor: &SHARD, series: of.collect() }
}

fn of_ends(descriptor: &'static Descriptor, sagas: &Sagas, read: impl Fn(&Took) -> Reading) -> Family {
    let ends = |(name, saga): &(String, Arc<OfSaga>)| -> Vec<Series> {
        ENDS.iter().zip(&saga.took).map(|((_, end), took)| series(&[name, end], read(took))).collect()
    };
    Family { descriptor, series: sagas.iter().flat_map(ends).collect() }
}

/// Of each direction in which a step was called.
fn of_ways(descriptor: &'static Descriptor, sagas: &Sagas, read: impl Fn(&Way) -> Reading) -> Family {
    let told = |name: &str, step: &str, direction: &str, way: &Way| {
        vec![series(&[name, step, direction], read(way))]
    };
    Family { descriptor, series: each_way(sagas, told) }
}

fn of_calls(sagas: &Sagas) -> Family {
    let told = |name: &str, step: &str, direction: &str, way: &Way| {
        let outcomes = CALLED.iter().zip(&way.outcomes);
        outcomes.map(|(outcome, count)| series(&[name, step, direction, outcome], counter(count))).collect()
    };
    Family { descriptor: &CALLS, series: each_way(sagas, told) }
}

fn each_way(sagas: &Sagas, told: impl Fn(&str, &str, &str, &Way) -> Vec<Series>) -> Vec<Series> {
    let mut all = Vec::new();
    for (name, saga) in sagas {
        for (step, of) in lock(&saga.steps).iter() {
            for ((_, direction), way) in WAYS.iter().zip(&of.ways).filter(|(_, way)| way.is_used()) {
                all.extend(told(name, step.as_str(), direction, way));
            }
        }
    }
    all
}

fn series(labels: &[&str], reading: Reading) -> Series {
    Series { labels: labels.iter().copied().map(Box::from).collect(), reading }
}

fn counter(count: &AtomicU64) -> Reading {
    Reading::Counter(count.load(Ordering::Relaxed))
}

fn gauge(value: &AtomicI64) -> Reading {
    Reading::Gauge(value.load(Ordering::Relaxed))
}

impl Way {
    fn is_used(&self) -> bool {
        let counts = self.outcomes.iter().chain([&self.repeated, &self.parked]);
        counts.into_iter().any(|it| it.load(Ordering::Relaxed) > 0)
    }
}

impl Took {
    fn counts(&self) -> Vec<u64> {
        self.buckets.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    pub(super) fn count(&self) -> u64 {
        self.counts().iter().sum()
    }

    fn reading(&self) -> Reading {
        let sum = Duration::from_micros(self.micros.load(Ordering::Relaxed));
        Reading::Histogram { bounds: self.bounds, buckets: self.counts(), sum }
    }
}
