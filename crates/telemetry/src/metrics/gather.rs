//! Adding up what the shards recorded.

use super::cells::{HistogramCells, SingleWriter};
use super::{Descriptor, HistogramDescriptor, Labels, Observer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// One metric with all its series.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name, help and labels.
    pub descriptor: &'static Descriptor,
    /// Its series by label values; never empty.
    pub series: Vec<Series>,
}

/// What a metric reads for one combination of label values.
#[derive(Debug, PartialEq, Eq)]
pub struct Series {
    /// The label values, in the order of the descriptor's labels.
    pub labels: Vec<Box<str>>,
    /// The reading.
    pub reading: Reading,
}

/// A number, or a distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// A counter's.
    Counter(u64),
    /// A gauge's.
    Gauge(i64),
    /// A histogram's.
    Histogram {
        /// The upper bounds of the buckets but the last.
        bounds: &'static [Duration],
        /// How many fell in each bucket; not cumulative, one more than bounds.
        buckets: Vec<u64>,
        /// The sum of all.
        sum: Duration,
    },
}

#[derive(Default)]
pub(super) struct Gathering(BTreeMap<&'static str, (&'static Descriptor, BTreeMap<Labels, Reading>)>);

impl Gathering {
    pub(super) fn counters(
        &mut self,
        descriptor: &'static Descriptor,
        all: &BTreeMap<Labels, Arc<SingleWriter>>,
    ) {
        for (labels, cell) in all {
            self.add(descriptor, labels.clone(), Reading::Counter(cell.read()));
        }
    }

    pub(super) fn gauges(
        &mut self,
        descriptor: &'static Descriptor,
        all: &BTreeMap<Labels, Arc<SingleWriter>>,
    ) {
        for (labels, cell) in all {
            self.add(descriptor, labels.clone(), Reading::Gauge(cell.read_signed()));
        }
    }

    pub(super) fn histograms(
        &mut self,
        descriptor: &'static HistogramDescriptor,
        all: &BTreeMap<Labels, Arc<HistogramCells>>,
    ) {
        for (labels, cells) in all {
            let (buckets, sum) = (cells.read_buckets().collect(), cells.read_sum());
            let reading = Reading::Histogram { bounds: descriptor.bounds, buckets, sum };
            self.add(&descriptor.of, labels.clone(), reading);
        }
    }

    pub(super) fn observed(&mut self, descriptor: &'static Descriptor, observer: &Observer) {
        observer(&mut |values, value| {
            let labels = values.iter().copied().map(Box::from).collect();
            self.add(descriptor, labels, Reading::Gauge(value));
        });
    }

    pub(super) fn finish(self) -> Vec<Family> {
        let series = |all: BTreeMap<Labels, Reading>| {
            all.into_iter().map(|(labels, reading)| Series { labels, reading }).collect()
        };
        self.0.into_values().map(|(descriptor, all)| Family { descriptor, series: series(all) }).collect()
    }

    fn add(&mut self, descriptor: &'static Descriptor, labels: Labels, reading: Reading) {
        let (_, all) = self.0.entry(descriptor.name).or_insert_with(|| (descriptor, BTreeMap::new()));
        match all.get_mut(&labels) {
            Some(sum) => sum.add(reading),
            None => drop(all.insert(labels, reading)),
        }
    }
}

impl Reading {
    /// Adds a reading of the same metric; one of another kind (two metrics under one name) replaces it.
    fn add(&mut self, other: Self) {
        match (self, other) {
            (Self::Counter(sum), Self::Counter(more)) => *sum = sum.wrapping_add(more),
            (Self::Gauge(sum), Self::Gauge(more)) => *sum = sum.wrapping_add(more),
            (Self::Histogram { buckets, sum, .. }, Self::Histogram { buckets: more, sum: more_sum, .. }) => {
                buckets.iter_mut().zip(more).for_each(|(bucket, more)| *bucket += more);
                *sum = sum.saturating_add(more_sum);
            }
            (this, other) => *this = other,
        }
    }
}
