//! What a data plane counts. Names follow OpenTelemetry's and Prometheus' habits: base units, `_total` for counters.

use crate::tls::Identities;
use crate::view::{Destination, View};
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tenon_api::problem::Component;
use tenon_core::breaker::{Exceeded, Mode, State};
use tenon_core::priority::Priority;
use tenon_core::retry::Reason;
use tenon_core::{Code, PolicyName, RouteName, ServiceRef, Timestamp, outlier};
use tenon_telemetry::metrics::REQUEST_SECONDS;
use tenon_telemetry::{Counter, Descriptor, Gauge, Histogram, HistogramDescriptor, Registry, Shard};

static REQUESTS: Descriptor = Descriptor {
    name: "tenon_requests_total",
    help: "Requests that were answered, or given up by their caller (status class none).",
    labels: &["component", "source", "destination", "route", "status_class"],
};
static DURATION: HistogramDescriptor = HistogramDescriptor {
    of: Descriptor {
        name: "tenon_request_duration_seconds",
        help: "From a request's head to the end of its response.",
        labels: &["component", "source", "destination", "route", "status_class"],
    },
    bounds: REQUEST_SECONDS,
};
static RESPONSE_BYTES: Descriptor = Descriptor {
    name: "tenon_response_bytes_total",
    help: "Bytes of the bodies that services answered with, as far as they were passed on.",
    labels: &["component", "source", "destination", "route"],
};
static IN_FLIGHT: Descriptor = Descriptor {
    name: "tenon_requests_in_flight",
    help: "Requests whose response has not ended.",
    labels: &["component", "source", "destination", "route"],
};
static RETRIES: Descriptor = Descriptor {
    name: "tenon_retries_total",
    help: "Attempts after the first.",
    labels: &["component", "source", "destination", "route"],
};
static HELD: Descriptor = Descriptor {
    name: "tenon_held_total",
    help: "Calls that waited for an instance because their service had none.",
    labels: &["destination"],
};
static HEDGES: Descriptor = Descriptor {
    name: "tenon_hedges_total",
    help: "Tries beside a slow one: sent, won (its answer counted) or refused (no budget, or nobody else to ask).",
    labels: &["destination", "result"],
};
static STOPPED: Descriptor = Descriptor {
    name: "tenon_retries_stopped_total",
    help: "Failed tries that the policy repeats and that were not repeated, by reason.",
    labels: &["destination", "reason"],
};
static SHED: Descriptor = Descriptor {
    name: "tenon_shed_total",
    help: "Calls that were refused at once because as many were in flight as may be for their priority.",
    labels: &["destination", "priority"],
};
static CONCURRENCY: Descriptor = Descriptor {
    name: "tenon_concurrency_limit",
    help: "How many requests may be in flight, for services whose limit is found by itself.",
    labels: &["destination"],
};
static ERRORS: Descriptor = Descriptor {
    name: "tenon_errors_total",
    help: "Responses that Tenon itself made, by error code.",
    labels: &["component", "code"],
};
static POLICIES: Descriptor = Descriptor {
    name: "tenon_policy_decisions_total",
    help: "What policies did to calls: denied, limited, delayed, aborted, mirrored, not-mirrored.",
    labels: &["policy", "decision"],
};
static TRANSITIONS: Descriptor = Descriptor {
    name: "tenon_breaker_transitions_total",
    help: "Changes of circuit breakers.",
    labels: &["destination", "to"],
};
static BREAKER_STATE: Descriptor = Descriptor {
    name: "tenon_breaker_state",
    help: "0 closed, 1 half-open, 2 open, 3 disabled, 4 metrics only, 5 forced open.",
    labels: &["destination"],
};
static BREAKER_CALLS: Descriptor = Descriptor {
    name: "tenon_breaker_calls_total",
    help: "Calls that a circuit breaker took for failed, slow or ignored, or did not permit.",
    labels: &["destination", "outcome"],
};
static BREAKER_EXCEEDED: Descriptor = Descriptor {
    name: "tenon_breaker_exceeded_total",
    help: "How often what became of calls was too bad, which opens a breaker unless it only counts.",
    labels: &["destination", "reason"],
};
static EJECTIONS: Descriptor = Descriptor {
    name: "tenon_ejections_total",
    help: "Instances that were left out because they did worse than the others of their service.",
    // Not by instance: those come and go without end, and a series stays.
    labels: &["destination", "reason"],
};
static EJECTED: Descriptor = Descriptor {
    name: "tenon_instance_ejected",
    help: "1 for an instance that is left out, else 0.",
    labels: &["destination", "instance"],
};
static BALANCE_MODE: Descriptor = Descriptor {
    name: "tenon_balance_mode",
    help: "Which instances are called: 0 the healthy ones, 1 those too that seem to have failed all at once, 2 all, \
           because too few are healthy.",
    labels: &["destination", "subset"],
};
static CONNECTIONS: Descriptor =
    Descriptor { name: "tenon_connections", help: "Open connections from clients.", labels: &["component"] };
static CONNECTIONS_REFUSED: Descriptor = Descriptor {
    name: "tenon_connections_refused_total",
    help: "Connections that were closed at once because the listener had as many as it may.",
    labels: &["component"],
};
static TUNNELS: Descriptor = Descriptor {
    name: "tenon_tunnels_total",
    help: "CONNECT tunnels and upgraded connections that carried plain bytes.",
    labels: &["source", "destination"],
};
static CERTIFICATE_END: Descriptor = Descriptor {
    name: "tenon_certificate_end_seconds",
    help: "When a workload's certificate ceases to hold, in Unix time.",
    labels: &["workload"],
};
static SNAPSHOT_POSITION: Descriptor = Descriptor {
    name: "tenon_snapshot_position",
    help: "The log position of each part of the configuration in use.",
    labels: &["part"],
};

/// The classes that responses are counted under; `none` is for those whose caller went away before the head.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// What a request is counted under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Labels {
    pub(crate) component: Component,
    pub(crate) source: Option<ServiceRef>,
    pub(crate) destination: Option<ServiceRef>,
    pub(crate) route: Option<RouteName>,
}

/// One worker's counts.
pub(crate) struct Metrics {
    shard: Shard,
    /// Bounded: emptied when it has [`Metrics::MAX_CACHED`] entries. The counts themselves stay in the shard.
    cache: RefCell<HashMap<Labels, Rc<Series>, BuildHasherDefault<Mix>>>,
}

/// What is counted for one combination of labels.
pub(crate) struct Series {
    in_flight: Gauge,
    response_bytes: Counter,
    pub(crate) retries: Counter,
    ended: [OnceCell<(Counter, Histogram)>; CLASSES.len()],
}

/// A hash for labels, which come from configuration: quicker than one that withstands an adversary's keys.
#[derive(Debug, Default)]
struct Mix(u64);

/// A request in flight; not any more when dropped.
pub(crate) struct InFlight(Rc<Series>);

impl Metrics {
    const MAX_CACHED: usize = 10_000;

    pub(crate) fn new(registry: &Registry) -> Self {
        Self { shard: registry.shard(), cache: RefCell::default() }
    }

    /// Counts a request as in flight.
    pub(crate) fn begin(&self, labels: &Labels) -> InFlight {
        let series = self.series(labels);
        series.in_flight.increment();
        InFlight(series)
    }

    /// Counts a request as ended, with the status that it was answered with, or 0 if it was not, and the bytes of the
    /// answer's body.
    pub(crate) fn end(&self, labels: &Labels, status: u16, duration: Duration, bytes: u64) {
        let class = usize::from(status / 100);
        let series = self.series(labels);
        series.response_bytes.add(bytes);
        let Some((name, cell)) = CLASSES.get(class).zip(series.ended.get(class)) else { return };
        let (requests, durations) = cell.get_or_init(|| {
            with_values(labels, name, |values| {
                (self.shard.counter(&REQUESTS, values), self.shard.histogram(&DURATION, values))
            })
        });
        requests.increment();
        durations.record(duration);
    }

    /// Counts a response that Tenon made.
    pub(crate) fn error(&self, component: Component, code: Code) {
        self.shard.counter(&ERRORS, &[component_name(component), code.as_str()]).increment();
    }

    /// Counts what a policy did to a call.
    pub(crate) fn policy(&self, name: &PolicyName, decision: &str) {
        self.shard.counter(&POLICIES, &[name.as_str(), decision]).increment();
    }

    /// Counts a call that waits for an instance.
    pub(crate) fn held(&self, destination: &ServiceRef) {
        self.shard.counter(&HELD, &[&destination.to_string()]).increment();
    }

    /// Counts what became of a try beside a slow one.
    pub(crate) fn hedge(&self, destination: &ServiceRef, result: &str) {
        self.shard.counter(&HEDGES, &[&destination.to_string(), result]).increment();
    }

    /// Counts a failed try that is not repeated.
    pub(crate) fn retries_stopped(&self, destination: &ServiceRef, reason: Reason) {
        let reason = match reason {
            Reason::Final => return,
            Reason::NotIdempotent => "not-idempotent",
            Reason::NotReplayable => "not-replayable",
            Reason::RetriesExhausted => "retries-exhausted",
            Reason::DeadlineNear => "deadline-near",
            Reason::BudgetSpent => "budget-spent",
            Reason::Repetition => "repetition",
            Reason::SpentBelow => "spent-below",
            Reason::AskedToWait => "asked-to-wait",
        };
        self.shard.counter(&STOPPED, &[&destination.to_string(), reason]).increment();
    }

    /// Counts a call that was refused because too many were in flight.
    pub(crate) fn shed(&self, destination: &ServiceRef, priority: Priority) {
        self.shard.counter(&SHED, &[&destination.to_string(), priority.as_str()]).increment();
    }

    /// Counts a change of a circuit breaker.
    pub(crate) fn transition(&self, destination: &ServiceRef, to: &str) {
        self.shard.counter(&TRANSITIONS, &[&destination.to_string(), to]).increment();
    }

    /// Counts a call that a breaker did not permit.
    pub(crate) fn not_permitted(&self, destination: &ServiceRef) {
        self.breaker_call(destination, "not-permitted");
    }

    /// Counts a call by what it was to a breaker.
    pub(crate) fn breaker_call(&self, destination: &ServiceRef, outcome: &str) {
        self.shard.counter(&BREAKER_CALLS, &[&destination.to_string(), outcome]).increment();
    }

    /// Counts that a breaker found calls too bad.
    pub(crate) fn exceeded(&self, destination: &ServiceRef, exceeded: Exceeded) {
        self.shard.counter(&BREAKER_EXCEEDED, &[&destination.to_string(), exceeded.as_str()]).increment();
    }

    /// Counts an instance that was left out.
    pub(crate) fn ejected(&self, destination: &ServiceRef, reason: outlier::Reason) {
        self.shard.counter(&EJECTIONS, &[&destination.to_string(), reason.as_str()]).increment();
    }

    /// Connections that are open.
    pub(crate) fn connections(&self, component: Component) -> Gauge {
        self.shard.gauge(&CONNECTIONS, &[component_name(component)])
    }

    /// Counts a connection that was closed at once.
    pub(crate) fn connection_refused(&self, component: Component) {
        self.shard.counter(&CONNECTIONS_REFUSED, &[component_name(component)]).increment();
    }

    /// Counts a tunnel.
    pub(crate) fn tunnel(&self, source: Option<&ServiceRef>, destination: &str) {
        let source = source.map(ToString::to_string).unwrap_or_default();
        self.shard.counter(&TUNNELS, &[&source, destination]).increment();
    }

    fn series(&self, labels: &Labels) -> Rc<Series> {
        let mut cache = self.cache.borrow_mut();
        if let Some(series) = cache.get(labels) {
            return Rc::clone(series);
        }
        if cache.len() >= Self::MAX_CACHED {
            cache.clear();
        }
        let series = Rc::new(with_values(labels, "", |values| Series {
            // The status class is the last label, which these don't have.
            in_flight: self.shard.gauge(&IN_FLIGHT, values),
            response_bytes: self.shard.counter(&RESPONSE_BYTES, values),
            retries: self.shard.counter(&RETRIES, values),
            ended: Default::default(),
        }));
        cache.insert(labels.clone(), Rc::clone(&series));
        series
    }
}

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        self.write_u64(rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        // Multiplied by 2^64 over the golden ratio (Knuth, TAOCP 3, 6.4), high bits carried down by the rotation.
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

impl InFlight {
    /// Counts an attempt after the first.
    pub(crate) fn retried(&self) {
        self.0.retries.increment();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.decrement();
    }
}

/// Adds the gauges that are read from the view when somebody asks.
pub(crate) fn observe(
    registry: &Registry,
    view: impl Fn() -> Arc<View> + Send + Sync + Clone + 'static,
    now: impl Fn() -> Timestamp + Send + Sync + 'static,
) {
    let (breakers, instances, limits, modes) = (view.clone(), view.clone(), view.clone(), view.clone());
    registry.observe(&BALANCE_MODE, Box::new(move |report| balance_modes(&modes(), report)));
    registry.observe(&CONCURRENCY, Box::new(move |report| concurrency_limits(&limits(), report)));
    registry.observe(&BREAKER_STATE, Box::new(move |report| breaker_states(&breakers(), report)));
    registry.observe(&EJECTED, Box::new(move |report| ejections(&instances(), now(), report)));
    registry.observe(&SNAPSHOT_POSITION, Box::new(move |report| positions(&view(), report)));
}

fn balance_modes(view: &View, report: &mut dyn FnMut(&[&str], i64)) {
    for destination in view.destinations() {
        let name = destination.service.to_string();
        for group in &destination.groups {
            report(&[&name, &group.asked.to_string()], group.mode as i64);
        }
    }
}

/// Adds when the certificates end.
pub(crate) fn observe_certificates(registry: &Registry, identities: Arc<Identities>) {
    let ends = move |report: &mut dyn FnMut(&[&str], i64)| {
        for (workload, until) in identities.ends() {
            let seconds = i64::try_from(until.as_micros() / 1_000_000).unwrap_or(i64::MAX);
            report(&[&workload.dns_name()], seconds);
        }
    };
    registry.observe(&CERTIFICATE_END, Box::new(ends));
}

fn breaker_states(view: &View, report: &mut dyn FnMut(&[&str], i64)) {
    for destination in view.destinations() {
        report(&[&destination.service.to_string()], state_number(destination));
    }
}

fn ejections(view: &View, now: Timestamp, report: &mut dyn FnMut(&[&str], i64)) {
    for destination in view.destinations() {
        let name = destination.service.to_string();
        for target in &destination.targets {
            report(&[&name, target.instance.as_str()], target.cells.outlier.is_ejected(now).into());
        }
    }
}

fn concurrency_limits(view: &View, report: &mut dyn FnMut(&[&str], i64)) {
    for destination in view.destinations() {
        if let Some(config) = &destination.traffic.concurrency {
            let limit = destination.cells.concurrency.limit(config);
            report(&[&destination.service.to_string()], i64::from(limit));
        }
    }
}

fn state_number(destination: &Destination) -> i64 {
    match (destination.traffic.breaker.mode, destination.breaker.state()) {
        (Mode::Disabled, _) => 3,
        (Mode::MetricsOnly, _) => 4,
        (Mode::ForcedOpen, _) => 5,
        (Mode::Automatic, State::Closed { .. }) => 0,
        (Mode::Automatic, State::HalfOpen { .. }) => 1,
        (Mode::Automatic, State::Open { .. }) => 2,
    }
}

fn positions(view: &View, report: &mut dyn FnMut(&[&str], i64)) {
    let parts = &view.parts;
    let revisions = [
        ("routes", parts.routes.as_ref().map(|part| part.revision)),
        ("endpoints", parts.endpoints.as_ref().map(|part| part.revision)),
        ("sidecars", parts.sidecars.as_ref().map(|part| part.revision)),
    ];
    for (part, revision) in revisions {
        if let Some(revision) = revision {
            report(&[part], i64::try_from(revision.position.0).unwrap_or(i64::MAX));
        }
    }
}

fn with_values<T>(labels: &Labels, class: &str, then: impl FnOnce(&[&str]) -> T) -> T {
    let text = |service: &Option<ServiceRef>| service.as_ref().map(ToString::to_string).unwrap_or_default();
    let route = labels.route.as_ref().map(RouteName::as_str).unwrap_or_default();
    let (source, destination) = (text(&labels.source), text(&labels.destination));
    then(&[component_name(labels.component), &source, &destination, route, class])
}

/// The component as its label reads.
pub(crate) const fn component_name(component: Component) -> &'static str {
    match component {
        Component::Gateway => "gateway",
        Component::Outbound => "outbound",
        Component::Inbound => "inbound",
        Component::Server => "server",
        Component::Admin => "admin",
    }
}
