//! What the groups that this server drives count, in the text format of Prometheus. Where OpenTelemetry's conventions for
//! messaging have a name, it is that one, with `_` for `.`.

use super::Bus;
use super::driver::Command;
use super::manager::Handle;
use futures_util::{StreamExt, stream};
use std::time::Duration;
use tenon_core::group::{GroupName, Status};
use tenon_telemetry::Descriptor;
use tenon_telemetry::metrics::{Family, Reading, Series};
use tenon_telemetry::prometheus::render;
use tokio::sync::oneshot;

const LABELS: &[&str] = &["messaging_system", "messaging_consumer_group_name"];
const SYSTEM: &str = "tenon";

/// How many groups are asked at once, and how long one may take; one that takes longer is left out.
const AT_ONCE: usize = 64;
const PATIENCE: Duration = Duration::from_secs(1);

/// One metric: what it is, and how it is read.
struct Metric {
    descriptor: Descriptor,
    read: fn(&Status, u64) -> Reading,
}

const fn metric(name: &'static str, help: &'static str, read: fn(&Status, head: u64) -> Reading) -> Metric {
    Metric { descriptor: Descriptor { name, help, labels: LABELS }, read }
}

static METRICS: &[Metric] = &[
    metric("messaging_client_consumed_messages_total", "Deliveries of events to consumers.", |status, _| {
        Reading::Counter(status.delivered)
    }),
    metric(
        "tenon_subscription_acknowledged_total",
        "Events that were acknowledged, since the subscription was made.",
        |status, _| Reading::Counter(status.counts.acked),
    ),
    metric(
        "tenon_subscription_dropped_total",
        "Events that were left out to make room, since the subscription was made.",
        |status, _| Reading::Counter(status.counts.dropped),
    ),
    metric(
        "tenon_subscription_failed_total",
        "Deliveries that failed, since the subscription was made.",
        |status, _| Reading::Counter(status.counts.failed),
    ),
    metric("tenon_subscription_in_flight", "Events that were given and are not settled.", |status, _| {
        gauge(status.in_flight.into())
    }),
    metric(
        "tenon_subscription_lag",
        "How many positions of the log come after the last one up to which everything is done with.",
        |status, head| gauge(head.saturating_sub(status.low.0)),
    ),
    metric("tenon_subscription_members", "Consumers.", |status, _| gauge(status.members.into())),
    metric("tenon_subscription_parked", "Events that are parked.", |status, _| gauge(status.parked.into())),
    metric("tenon_subscription_ready", "Events that wait for a consumer.", |status, _| {
        gauge(status.ready.into())
    }),
    metric(
        "tenon_subscription_redelivered_total",
        "Deliveries of events that had been given before.",
        |status, _| Reading::Counter(status.redelivered),
    ),
    metric("tenon_subscription_waiting", "Events that wait for a time.", |status, _| {
        gauge(status.waiting.into())
    }),
];

fn gauge(value: u64) -> Reading {
    Reading::Gauge(i64::try_from(value).unwrap_or(i64::MAX))
}

impl Bus {
    /// What the groups that this server drives count, as Prometheus has it. Counters of deliveries begin anew with their driver.
    pub async fn metrics(&self) -> String {
        let head = self.store().log().head().0;
        let asked = stream::iter(self.shared.manager.running()).map(|(name, group)| status_of(name, group));
        let answered = asked.buffer_unordered(AT_ONCE);
        let mut statuses: Vec<(GroupName, Status)> = answered.filter_map(std::future::ready).collect().await;
        statuses.sort_by(|(one, _), (other, _)| one.cmp(other));
        let family = |metric: &'static Metric| {
            let series = statuses.iter().map(|(name, status)| Series {
                labels: vec![SYSTEM.into(), name.to_string().into()],
                reading: (metric.read)(status, head),
            });
            Family { descriptor: &metric.descriptor, series: series.collect() }
        };
        render(&METRICS.iter().map(family).collect::<Vec<_>>())
    }
}

/// How a group is, if it says so in time.
async fn status_of(name: GroupName, group: Handle) -> Option<(GroupName, Status)> {
    let (reply, status) = oneshot::channel();
    let asking = async {
        group.send(Command::Status(reply)).await?;
        status.await.ok()
    };
    Some((name, tokio::time::timeout(PATIENCE, asking).await.ok()??))
}
