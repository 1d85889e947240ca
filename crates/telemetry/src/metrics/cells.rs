//! The cells that are recorded into. Each is written by one thread only, so a load and a store suffice and no
//! cache line is contended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only goes up.
#[derive(Debug, Clone)]
pub struct Counter(pub(super) Arc<SingleWriter>);

/// A number that goes up and down.
#[derive(Debug, Clone)]
pub struct Gauge(pub(super) Arc<SingleWriter>);

/// How often durations fell between some bounds, with their sum.
#[derive(Debug, Clone)]
pub struct Histogram(pub(super) Arc<HistogramCells>);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.add(count);
    }
}

impl Gauge {
    /// One more.
    pub fn increment(&self) {
        self.0.add(1);
    }

    /// One less.
    pub fn decrement(&self) {
        self.0.add(u64::MAX); // two's complement of -1
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, duration: Duration) {
        self.0.record(duration);
    }
}

/// A 64-bit number, read as unsigned by counters and as two's complement by gauges; wraps.
#[derive(Debug, Default)]
pub(super) struct SingleWriter(AtomicU64);

impl SingleWriter {
    fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn read_signed(&self) -> i64 {
        self.read().cast_signed()
    }
}

#[derive(Debug)]
pub(super) struct HistogramCells {
    bounds: &'static [Duration],
    /// One for each bound and one for what is above them all; not cumulative.
    buckets: Box<[SingleWriter]>,
    sum_micros: SingleWriter,
}

impl HistogramCells {
    pub(super) fn new(bounds: &'static [Duration]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| SingleWriter::default()).collect();
        Self { bounds, buckets, sum_micros: SingleWriter::default() }
    }

    fn record(&self, duration: Duration) {
        let place = self.bounds.partition_point(|bound| *bound < duration);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.add(1);
        }
        self.sum_micros.add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn read_buckets(&self) -> impl Iterator<Item = u64> + '_ {
        self.buckets.iter().map(SingleWriter::read)
    }

    pub(super) fn read_sum(&self) -> Duration {
        Duration::from_micros(self.sum_micros.read())
    }
}
