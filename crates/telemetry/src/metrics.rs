//! Counters, gauges and histograms, sharded by thread.
//!
//! Life cycle: a process has one [`Registry`]. Each thread that records takes a [`Shard`] of it and asks the shard for
//! a handle for each combination of label values, once; the handle is kept and recording through it is a plain
//! store to memory that no other thread writes. [`Registry::gather`] adds the shards up.
//!
//! Bounds: a shard keeps at most [`MAX_SERIES`] combinations of label values of each metric. What comes later is
//! recorded under label values that all read [`OVERFLOW`], so that sums stay right.
//!
//! Left out on purpose: forgetting series, exemplars, and export (module [`prometheus`](crate::prometheus)).

mod cells;
mod gather;

pub use cells::{Counter, Gauge, Histogram};
pub use gather::{Family, Reading, Series};

use cells::{HistogramCells, SingleWriter};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most combinations of label values of one metric in one shard.
pub const MAX_SERIES: usize = 4_096;

/// The value of every label of what came after [`MAX_SERIES`].
pub const OVERFLOW: &str = "_other";

/// Upper bounds of a histogram of request durations: 0.1 ms to 10 s.
pub const REQUEST_SECONDS: &[Duration] = &[
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// What a counter or a gauge counts. Names and labels are of Prometheus' form, `[a-zA-Z_][a-zA-Z0-9_]*`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Descriptor {
    /// Its name with its unit, for example `tenon_requests_total`.
    pub name: &'static str,
    /// One sentence on what it counts.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

/// What a histogram of durations measures.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistogramDescriptor {
    /// Name, help and labels; the name ends in `_seconds`.
    pub of: Descriptor,
    /// The upper bounds of its buckets, increasing; one without bound follows.
    pub bounds: &'static [Duration],
}

/// All metrics of a process. Clones are handles to the same metrics.
#[derive(Clone, Default)]
pub struct Registry(Arc<Inner>);

/// One thread's part of a registry. Not to be shared: two threads that record through one shard may lose counts.
pub struct Shard {
    table: Arc<Table>,
    /// Keeps a shard on its thread.
    _not_sync: std::marker::PhantomData<std::cell::Cell<()>>,
}

/// Reads a gauge when somebody asks: calls its argument with the label values and the value of each series.
pub type Observer = Box<dyn Fn(&mut dyn FnMut(&[&str], i64)) + Send + Sync>;

#[derive(Default)]
struct Inner {
    shards: Mutex<Vec<Arc<Table>>>,
    observed: Mutex<Vec<(&'static Descriptor, Observer)>>,
}

/// The series of one shard. Locked when a series is made and when it is gathered, never when it is recorded.
#[derive(Default)]
struct Table {
    counters: Mutex<Families<SingleWriter>>,
    gauges: Mutex<Families<SingleWriter>>,
    histograms: Mutex<BTreeMap<&'static HistogramDescriptor, BTreeMap<Labels, Arc<HistogramCells>>>>,
}

type Families<C> = BTreeMap<&'static Descriptor, BTreeMap<Labels, Arc<C>>>;
type Labels = Vec<Box<str>>;

impl Registry {
    /// A registry with no metrics.
    pub fn new() -> Self {
        Self::default()
    }

    /// A shard for the calling thread. It is gathered for as long as the registry lives.
    pub fn shard(&self) -> Shard {
        let table = Arc::new(Table::default());
        lock(&self.0.shards).push(Arc::clone(&table));
        Shard { table, _not_sync: std::marker::PhantomData }
    }

    /// Adds a gauge that is read whenever metrics are gathered.
    pub fn observe(&self, descriptor: &'static Descriptor, observer: Observer) {
        lock(&self.0.observed).push((descriptor, observer));
    }

    /// What every metric reads at this moment, by name and then by label values. Each number is read for
    /// itself: a histogram that is recorded meanwhile may count an observation in its sum a moment before its bucket.
    pub fn gather(&self) -> Vec<Family> {
        let mut gathering = gather::Gathering::default();
        for table in lock(&self.0.shards).iter() {
            for (descriptor, series) in lock(&table.counters).iter() {
                gathering.counters(descriptor, series);
            }
            for (descriptor, series) in lock(&table.gauges).iter() {
                gathering.gauges(descriptor, series);
            }
            for (descriptor, series) in lock(&table.histograms).iter() {
                gathering.histograms(descriptor, series);
            }
        }
        for (descriptor, observer) in lock(&self.0.observed).iter() {
            gathering.observed(descriptor, observer);
        }
        gathering.finish()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("shards", &lock(&self.0.shards).len()).finish_non_exhaustive()
    }
}

impl Shard {
    /// The counter of these label values, which stand in the order of the descriptor's labels.
    pub fn counter(&self, descriptor: &'static Descriptor, values: &[&str]) -> Counter {
        Counter(series(
            lock(&self.table.counters).entry(descriptor).or_default(),
            descriptor,
            values,
            Arc::default,
        ))
    }

    /// The gauge of these label values. Shards' gauges are added up.
    pub fn gauge(&self, descriptor: &'static Descriptor, values: &[&str]) -> Gauge {
        Gauge(series(
            lock(&self.table.gauges).entry(descriptor).or_default(),
            descriptor,
            values,
            Arc::default,
        ))
    }

    /// The histogram of these label values.
    pub fn histogram(&self, descriptor: &'static HistogramDescriptor, values: &[&str]) -> Histogram {
        let make = || Arc::new(HistogramCells::new(descriptor.bounds));
        Histogram(series(
            lock(&self.table.histograms).entry(descriptor).or_default(),
            &descriptor.of,
            values,
            make,
        ))
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").finish_non_exhaustive()
    }
}

/// The series of these label values, or the one for what is too much. A missing value reads as empty.
fn series<C>(
    all: &mut BTreeMap<Labels, Arc<C>>,
    descriptor: &Descriptor,
    values: &[&str],
    make: impl FnOnce() -> Arc<C>,
) -> Arc<C> {
    let value = |index: usize| Box::from(values.get(index).copied().unwrap_or_default());
    let mut key: Labels = (0..descriptor.labels.len()).map(value).collect();
    if all.len() >= MAX_SERIES && !all.contains_key(&key) {
        key = descriptor.labels.iter().map(|_| Box::from(OVERFLOW)).collect();
    }
    Arc::clone(all.entry(key).or_insert_with(make))
}

/// What a thread that panicked left behind is still a set of counts.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
