//! Metrics, recorded without locks on the hot path and read at the edge.
//!
//! - [`metrics`]: counters, gauges and histograms. Every thread records into cells of its own; a scrape adds them up.
//! - [`prometheus`]: what a scrape is answered with.
//!
//! Left out for now: spans, logs and OTLP.

pub mod metrics;
pub mod prometheus;

pub use metrics::{Counter, Descriptor, Gauge, Histogram, HistogramDescriptor, Registry, Shard};
