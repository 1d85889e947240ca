//! Push: services are called with the events of subscriptions that say so. To its group a pusher is a member as any other.
//!
//! Life cycle: a task for each such subscription, for as long as it is there as it is and this server drives it. An event
//! that is being sent when it ends is given again.
//!
//! Bounded: as many calls at once as the subscription has in flight, and no more than [`MOST_CALLS`]; each may take as long
//! as the deadline for acknowledging.
//!
//! Left out on purpose: how a service is reached ([`Services`]), and what an answer means (`core::push`).

use super::{Bus, Delivery, Settled, Settler, Subscription};
use crate::topics::event::told;
use crate::unary;
use ::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tenon_api::cloudevents::http::{self, write};
use tenon_api::headers;
use tenon_core::ServiceRef;
use tenon_core::group::{Delivered, Form, GroupName};
use tenon_core::push::{Outcome, Verdict, judge};
use tenon_store::log::BoxFuture;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The most calls of one subscription at once.
pub const MOST_CALLS: u32 = 256;

/// How long to wait before joining a group again.
const AGAIN: Duration = Duration::from_millis(500);

/// Says which subscription an event is pushed for.
const SUBSCRIPTION: HeaderName = HeaderName::from_static("tenon-subscription");
/// Says how often the event was given, this time included.
const DELIVERY: HeaderName = HeaderName::from_static("tenon-delivery");

/// How services are reached.
pub trait Services: Send + Sync + 'static {
    /// Posts to a service, and says what came of it.
    fn post(&self, call: Call) -> BoxFuture<'_, Outcome>;
}

/// What a service is sent.
#[derive(Debug, Clone)]
pub struct Call {
    /// The service.
    pub service: ServiceRef,
    /// The path.
    pub path: String,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How long it may take.
    pub within: Duration,
    /// Whether it is a gRPC call, whose body is one message: over HTTP/2, with its status in the trailers.
    pub grpc: bool,
}

/// Calls services for all subscriptions that say so, until `stop`.
pub async fn push(bus: Bus, services: Arc<dyn Services>, stop: CancellationToken) {
    let (mut changes, mut on_duty) = (bus.changes(), bus.on_duty());
    let mut pushing: BTreeMap<GroupName, Pushing> = BTreeMap::new();
    loop {
        let drives = *on_duty.borrow_and_update();
        changes.borrow_and_update();
        let wanted =
            bus.list(None).into_iter().filter(|it| drives && it.definition.delivered != Delivered::Pull);
        let wanted: BTreeMap<GroupName, Subscription> =
            wanted.map(|subscription| (subscription.definition.group(), subscription)).collect();
        // Dropping one ends it.
        pushing.retain(|name, running| wanted.get(name) == Some(&running.subscription));
        for (name, subscription) in wanted {
            pushing.entry(name).or_insert_with(|| {
                Pushing::start(bus.clone(), subscription, Arc::clone(&services), stop.child_token())
            });
        }
        let changed = async {
            tokio::select! {
                changed = changes.changed() => changed.is_ok(),
                () = changes_of(&mut on_duty) => true,
            }
        };
        if stop.run_until_cancelled(changed).await != Some(true) {
            return;
        }
    }
}

/// Waits until it is another server that drives the groups, or this one. A server that is alone waits for ever.
pub async fn changes_of(on_duty: &mut watch::Receiver<bool>) {
    if on_duty.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// One subscription that is pushed.
struct Pushing {
    subscription: Subscription,
    stop: CancellationToken,
}

impl Drop for Pushing {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Pushing {
    fn start(
        bus: Bus,
        subscription: Subscription,
        services: Arc<dyn Services>,
        stop: CancellationToken,
    ) -> Self {
        if let Delivered::Push { service, path, form } = subscription.definition.delivered.clone() {
            let pusher = Pusher {
                name: subscription.definition.group(),
                most: subscription.definition.config.in_flight.min(MOST_CALLS),
                // A call that ends with the deadline is too late.
                within: subscription.definition.config.ack_deadline.mul_f64(0.9),
                target: Arc::new(Target {
                    group: subscription.definition.group().to_string(),
                    service,
                    path,
                    form,
                }),
                bus,
                services,
            };
            let ending = stop.clone();
            tokio::spawn(async move { ending.run_until_cancelled(pusher.run()).await });
        }
        Self { subscription, stop }
    }
}

struct Pusher {
    bus: Bus,
    name: GroupName,
    most: u32,
    within: Duration,
    target: Arc<Target>,
    services: Arc<dyn Services>,
}

/// Whom to send, and how.
struct Target {
    group: String,
    service: ServiceRef,
    path: String,
    form: Form,
}

impl Pusher {
    /// Joins the group, again and again.
    async fn run(self) {
        loop {
            if let Err(refusal) = self.take_part().await {
                tracing::debug!(subscription = %self.name, %refusal, "cannot take part in the group");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn take_part(&self) -> Result<(), tenon_core::Refusal> {
        let mut member = self.bus.join(&self.name, self.most).await?;
        let room = Arc::new(Semaphore::new(self.most as usize));
        // Dropped with the calls that are under way when the member is.
        let mut calls = JoinSet::new();
        while let Some(deliveries) = member.next().await {
            for delivery in deliveries {
                while calls.try_join_next().is_some() {}
                let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return Ok(()) };
                let (target, services) = (Arc::clone(&self.target), Arc::clone(&self.services));
                let (settler, within) = (member.settler(), self.within);
                calls.spawn(async move {
                    target.send(&*services, delivery, within, &settler).await;
                    drop(permit);
                });
            }
        }
        Ok(())
    }
}

impl Target {
    async fn send(&self, services: &dyn Services, delivery: Delivery, within: Duration, settler: &Settler) {
        let (ticket, position) = (delivery.ticket, delivery.event.position);
        let verdict = match self.call(delivery, within) {
            Ok(call) => {
                let outcome = tokio::time::timeout(within, services.post(call)).await;
                let outcome = outcome.unwrap_or(Outcome::NoAnswer);
                let verdict = judge(outcome);
                if verdict != Verdict::Acked {
                    tracing::debug!(subscription = self.group, %position, ?outcome, "an event was not taken");
                }
                verdict
            }
            Err(error) => {
                tracing::warn!(subscription = self.group, %position, %error, "an event cannot be sent");
                Verdict::Refused(None)
            }
        };
        let mut settled = Settled::default();
        match verdict {
            Verdict::Acked => settled.acks.push(ticket),
            Verdict::Refused(delay) => settled.nacks.push((ticket, delay)),
            Verdict::Unreached(delay) => settled.unreached.push((ticket, delay)),
        }
        settler.settle(settled).await;
    }

    fn call(&self, delivery: Delivery, within: Duration) -> Result<Call, tenon_api::InvalidMessage> {
        let Delivery { event, attempt, ticket: _ } = delivery;
        let mut sent = HeaderMap::new();
        // Who is sent an event twice can tell by this, and so may whoever stands in between send it again.
        let id = event.id.to_string();
        let parent = event.metadata.traceparent.clone().map(String::from);
        let event = told(event);
        let grpc = self.form == Form::Grpc;
        let body = match self.form {
            Form::Binary => write(&event, http::Form::Binary, &mut sent)?,
            Form::Structured => write(&event, http::Form::Structured, &mut sent)?,
            Form::Grpc => unary::request(&event.to_protobuf(), within, &mut sent),
        };
        let texts = [
            (headers::IDEMPOTENCY_KEY, Some(id)),
            (headers::TRACEPARENT, parent),
            (SUBSCRIPTION, Some(self.group.clone())),
            (DELIVERY, Some(attempt.to_string())),
            (headers::TIMEOUT_MS, Some(within.as_millis().to_string())),
        ];
        for (name, text) in texts {
            if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
                sent.insert(name, value);
            }
        }
        Ok(Call { service: self.service.clone(), path: self.path.clone(), headers: sent, body, within, grpc })
    }
}

#[cfg(test)]
mod tests;
