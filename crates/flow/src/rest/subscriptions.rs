//! Subscriptions over HTTP: the paths of `api::openapi::BUS` that are about them.

use super::form::{self, Asked};
use super::reply::{self, Failure, Reply};
use super::socket::{self, Handshake};
use super::{LIMIT, MOST};
use crate::bus::{Bus, Delivery, Described, Member, ParkedEvent, Settled, Subscription};
use crate::events::EventStore;
use crate::events::rights::Rights;
use crate::grpc::bus::{check_definition, check_free};
use crate::topics::event::told;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::IntoResponse;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::routing::{get, post};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;
use tenon_api::InvalidMessage;
use tenon_api::http::{
    DefinedSubscription, DeletedSubscription, KEEP_ALIVE, ParkedList, SeekSubscription, SettleDeliveries,
    SettledDeliveries, SoughtSubscription, SubscriptionList, SubscriptionStatus, SubscriptionSummary,
    SubscriptionView, Unparked, WhichParked,
};
use tenon_api::system::{SubscriptionDoc, parse_start};
use tenon_core::group::{GroupName, Status, Ticket};
use tenon_core::{Namespace, Position, Refusal, Revision};
use tenon_store::Event;

/// How many events somebody who pulls by server-sent events may have that are not settled, unless they say so, and at all.
const PULLED: u32 = 32;
const MOST_PULLED: u32 = 1_024;

/// What handlers work on.
#[derive(Clone)]
struct Served {
    store: EventStore,
    bus: Bus,
}

/// The paths.
pub(crate) fn router(store: EventStore, bus: Bus) -> Router {
    Router::new()
        .route("/v1/subscriptions", get(list))
        .route("/v1/subscriptions/{name}", get(show).put(define).delete(delete))
        .route("/v1/subscriptions/{name}/seek", post(seek))
        .route("/v1/subscriptions/{name}/pull", get(pull))
        .route("/v1/subscriptions/{name}/acks", post(settle))
        .route("/v1/subscriptions/{name}/parked", get(parked))
        .route("/v1/subscriptions/{name}/parked/retry", post(retry))
        .route("/v1/subscriptions/{name}/parked/drop", post(drop_parked))
        .method_not_allowed_fallback(super::unknown)
        .with_state(Served { store, bus })
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Within {
    namespace: Option<String>,
    after: Option<u64>,
    limit: Option<u64>,
    most: Option<u32>,
}

impl Served {
    /// What the caller may do, what they ask for, and the subscription that they name.
    fn asked(&self, asked: &Asked) -> Result<(Rights, Within, GroupName), Failure> {
        let (rights, within, namespace) = self.within(asked)?;
        let namespace = namespace.unwrap_or_else(|| rights.namespace());
        Ok((rights, within, GroupName { namespace, name: asked.parameter("name")? }))
    }

    fn within(&self, asked: &Asked) -> Result<(Rights, Within, Option<Namespace>), Failure> {
        let rights = asked.rights(&self.store)?;
        let within: Within = asked.query()?;
        let namespace = within.namespace.as_deref().map(|text| form::name("namespace", text)).transpose()?;
        if let Some(namespace) = &namespace {
            rights.check_namespace(namespace)?;
        }
        Ok((rights, within, namespace))
    }
}

async fn list(State(served): State<Served>, asked: Asked) -> Reply {
    let (rights, _, namespace) = served.within(&asked)?;
    let namespace = namespace.or_else(|| rights.within().cloned());
    let subscriptions = served.bus.list(namespace.as_ref()).iter().map(summary).collect();
    reply::json(&SubscriptionList { subscriptions })
}

async fn show(State(served): State<Served>, asked: Asked) -> Reply {
    let (_, _, name) = served.asked(&asked)?;
    let Described { subscription, status, head } = served.bus.describe(&name).await?;
    reply::json(&SubscriptionView { of: summary(&subscription), status: status_of(&status, head) })
}

async fn define(State(served): State<Served>, asked: Asked, body: Body) -> Reply {
    let (rights, _, name) = served.asked(&asked)?;
    let document: SubscriptionDoc = reply::read(body).await?;
    let mut definition = document.to_definition(name.namespace, name.name)?;
    check_definition(&rights, &served.bus, &mut definition)?;
    let defined = served.bus.define(definition, Some(rights.actor())).await?;
    reply::json(&DefinedSubscription { changed: defined.changed, from: defined.from.0 })
}

async fn delete(State(served): State<Served>, asked: Asked) -> Reply {
    let (rights, _, name) = served.asked(&asked)?;
    check_free(&served.bus, &name)?;
    served.bus.delete(&name, Some(rights.actor())).await?;
    let log = served.store.log();
    reply::json(&DeletedSubscription { revision: Revision { log: log.id(), position: log.head() } })
}

async fn seek(State(served): State<Served>, asked: Asked, body: Body) -> Reply {
    let (_, _, name) = served.asked(&asked)?;
    let SeekSubscription { to } = reply::read(body).await?;
    let to = parse_start(&to).map_err(|problem| InvalidMessage { field: "to".to_owned(), problem })?;
    let after = served.bus.seek(&name, to).await?;
    reply::json(&SoughtSubscription { after: after.0 })
}

async fn parked(State(served): State<Served>, asked: Asked) -> Reply {
    let (_, within, name) = served.asked(&asked)?;
    let limit = usize::try_from(within.limit.unwrap_or(LIMIT).clamp(1, MOST)).unwrap_or(usize::MAX);
    let after = Position(within.after.unwrap_or_default());
    let parked = served.bus.parked(&name, after, limit).await?;
    let parked = parked.into_iter().map(parked_event).collect::<Result<_, _>>()?;
    reply::json(&ParkedList { parked })
}

async fn retry(State(served): State<Served>, asked: Asked, body: Body) -> Reply {
    let (_, _, name) = served.asked(&asked)?;
    let WhichParked { positions } = reply::read(body).await?;
    let which = positions.into_iter().map(Position).collect();
    reply::json(&Unparked { events: served.bus.retry(&name, which).await? })
}

async fn drop_parked(State(served): State<Served>, asked: Asked, body: Body) -> Reply {
    let (_, _, name) = served.asked(&asked)?;
    let WhichParked { positions } = reply::read(body).await?;
    let which = positions.into_iter().map(Position).collect();
    reply::json(&Unparked { events: served.bus.drop_parked(&name, which).await? })
}

/// Makes the caller a member for as long as the stream, or the WebSocket that it asks for, is open.
async fn pull(
    State(served): State<Served>,
    asked: Asked,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Reply {
    let (_, within, name) = served.asked(&asked)?;
    let handshake = if socket::is_asked(asked.headers()) { Some(Handshake::check(upgrade)?) } else { None };
    let permit = served.store.stream_permit()?;
    let most = within.most.unwrap_or(PULLED).clamp(1, MOST_PULLED);
    let member = served.bus.join(&name, most).await?;
    if let Some(handshake) = handshake {
        return handshake.open(member, MOST_PULLED, permit, served.store.stopped().clone());
    }
    let given = stream::unfold((member, permit), |(mut member, permit)| async {
        let given = member.next().await?;
        let messages: Vec<Message> = given.into_iter().map(|it| message(&member, it)).collect();
        Some((stream::iter(messages), (member, permit)))
    });
    let stopped = served.store.stopped().clone().cancelled_owned();
    let messages = given.flatten().take_until(stopped).map(Ok::<_, Infallible>);
    Ok(Sse::new(messages).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

fn message(member: &Member, delivery: Delivery) -> Message {
    let Delivery { event, ticket, attempt } = delivery;
    let document =
        json!({"ticket": ticket_text(member, ticket), "attempt": attempt, "event": told(event).to_json()});
    // The document is made of texts, numbers and lists of them, which always serialise.
    Message::default().json_data(document).unwrap_or_default()
}

async fn settle(State(served): State<Served>, asked: Asked, body: Body) -> Reply {
    let (_, _, name) = served.asked(&asked)?;
    let SettleDeliveries { acks, nacks } = reply::read(body).await?;
    let tickets = u32::try_from(acks.len() + nacks.len()).unwrap_or(u32::MAX);
    let mut epochs: BTreeMap<u64, Settled> = BTreeMap::new();
    for text in acks {
        let (epoch, ticket) = parse_ticket(&text)?;
        epochs.entry(epoch).or_default().acks.push(ticket);
    }
    for refused in nacks {
        let (epoch, ticket) = parse_ticket(&refused.ticket)?;
        let delay = refused.delay_ms.map(Duration::from_millis);
        epochs.entry(epoch).or_default().nacks.push((ticket, delay));
    }
    for (epoch, settled) in epochs {
        served.bus.settle(&name, epoch, settled).await?;
    }
    reply::json(&SettledDeliveries { tickets })
}

/// A ticket is good for one driver of the group, so that comes with it.
pub(super) fn ticket_text(member: &Member, ticket: Ticket) -> String {
    format!("{}.{}", member.epoch(), ticket.0)
}

pub(super) fn parse_ticket(text: &str) -> Result<(u64, Ticket), Refusal> {
    let parts =
        text.split_once('.').and_then(|(epoch, ticket)| Some((epoch.parse().ok()?, ticket.parse().ok()?)));
    let problem = || reply::invalid(format!("ticket: {text:?} is none"));
    parts.map(|(epoch, ticket)| (epoch, Ticket(ticket))).ok_or_else(problem)
}

fn summary(subscription: &Subscription) -> SubscriptionSummary {
    let definition = &subscription.definition;
    SubscriptionSummary {
        namespace: definition.namespace.clone(),
        name: definition.name.clone(),
        declared: definition.declared,
        definition: definition.into(),
    }
}

fn status_of(status: &Status, head: Position) -> SubscriptionStatus {
    let counts = status.counts;
    SubscriptionStatus {
        done_to: status.low.0,
        read_to: status.read_to.0,
        head: head.0,
        held: status.held,
        in_flight: status.in_flight,
        waiting: status.waiting,
        ready: status.ready,
        parked: status.parked,
        members: status.members,
        acked: counts.acked,
        failed: counts.failed,
        dropped: counts.dropped,
        duplicates: counts.duplicates,
        discarded: counts.discarded,
    }
}

fn parked_event(parked: ParkedEvent) -> Result<tenon_api::http::ParkedEvent, Failure> {
    let ParkedEvent { at, parked, event } = parked;
    let document = |event: Event| serde_json::from_value(told(event).to_json()).map(Box::new);
    let event = event.map(document).transpose();
    let event = event.map_err(|error| reply::invalid(format!("the event cannot be told: {error}")))?;
    Ok(tenon_api::http::ParkedEvent {
        position: at.0,
        attempts: parked.attempts,
        since: parked.since,
        cause: parked.cause.into(),
        event,
    })
}
