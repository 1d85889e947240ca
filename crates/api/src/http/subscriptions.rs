//! Subscriptions and their parked events.

use super::CloudEventDocument;
use crate::mirror::mirror;
use crate::system::SubscriptionDoc;
use crate::text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tenon_core::group::Cause;
use tenon_core::{Namespace, Position, Revision, SubscriptionName, Timestamp};

/// Subscriptions, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubscriptionList {
    /// Those that the caller may see.
    pub subscriptions: Vec<SubscriptionSummary>,
}

/// What a subscription is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubscriptionSummary {
    /// Its namespace.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub namespace: Namespace,
    /// Its name.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub name: SubscriptionName,
    /// Whether it is the manifest's: then it changes and goes with that.
    pub declared: bool,
    /// What it is.
    pub definition: SubscriptionDoc,
}

/// A subscription and how it fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubscriptionView {
    /// What it is.
    #[serde(flatten)]
    pub of: SubscriptionSummary,
    /// How it fares.
    pub status: SubscriptionStatus,
}

/// How a subscription fares. Numbers of events, unless stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubscriptionStatus {
    /// The position up to which everything is done with.
    pub done_to: u64,
    /// The position up to which the log was looked at.
    pub read_to: u64,
    /// Where the log ends: a position.
    pub head: u64,
    /// Held: given, waiting for a time, a consumer or their turn.
    pub held: u32,
    /// Given and not settled.
    pub in_flight: u32,
    /// Waiting for a time.
    pub waiting: u32,
    /// Waiting for a consumer.
    pub ready: u32,
    /// Waiting for somebody to look at them.
    pub parked: u32,
    /// Consumers.
    pub members: u32,
    /// Acknowledged, since the subscription was made.
    pub acked: u64,
    /// Deliveries that failed.
    pub failed: u64,
    /// Left out to make room.
    pub dropped: u64,
    /// Left out as duplicates.
    pub duplicates: u64,
    /// Parked and then left out.
    pub discarded: u64,
}

/// Where a subscription is to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeekSubscription {
    /// `beginning`, `end`, after a position, or with a time (RFC 3339).
    pub to: String,
}

/// Where a subscription goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SoughtSubscription {
    /// After this position.
    pub after: u64,
}

/// A subscription was made or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DefinedSubscription {
    /// Whether anything is other than before.
    pub changed: bool,
    /// After which position it began when it was made.
    pub from: u64,
}

/// A subscription is gone, with its progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeletedSubscription {
    /// Where the log ended then.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub revision: Revision,
}

/// Parked events, those that come first in the log first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ParkedList {
    /// They.
    pub parked: Vec<ParkedEvent>,
}

/// An event that was given as often as it may be, and waits for somebody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ParkedEvent {
    /// Where it is in the log.
    pub position: u64,
    /// How often it was given.
    pub attempts: u32,
    /// Since when it waits.
    #[serde(with = "text::time")]
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// How the last delivery failed.
    pub cause: ParkedCause,
    /// The event; absent if it is no longer in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<CloudEventDocument>>,
}

mirror! {
    /// How a delivery failed.
    ParkedCause of Cause {
        /// Whoever was given the event refused it.
        Refused,
        /// The deadline passed.
        Overdue,
        /// Whoever was given the event left.
        Left,
    }
}

/// Which parked events are meant.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhichParked {
    /// Their positions; all of them if empty.
    #[serde(default)]
    pub positions: Vec<u64>,
}

/// What was done with parked events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unparked {
    /// How many there were.
    pub events: u32,
}

/// What a pull by server-sent events tells: events that are to be acknowledged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveredEvent {
    /// What it is acknowledged with.
    pub ticket: String,
    /// How often it was given, this time included.
    pub attempt: u32,
    /// The event.
    pub event: Box<CloudEventDocument>,
}

/// What became of deliveries.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SettleDeliveries {
    /// The tickets of those that were dealt with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acks: Vec<String>,
    /// Those that were not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nacks: Vec<RefusedDelivery>,
}

/// What somebody who pulls over WebSocket answers, as often as they like.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PullMessage {
    /// The tickets of deliveries that were dealt with. One that does not count any more is passed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acks: Vec<String>,
    /// Deliveries that were not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nacks: Vec<RefusedDelivery>,
    /// How many events may be given and not settled from now on: 1,024 at most; none while it is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<u32>,
}

/// A delivery that was not dealt with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefusedDelivery {
    /// Its ticket.
    pub ticket: String,
    /// When to give the event again; by the subscription's back-off if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
}

/// Deliveries were settled. Tickets that do not count any more were passed over.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SettledDeliveries {
    /// How many tickets came.
    pub tickets: u32,
}

impl ParkedEvent {
    /// Where it is.
    pub fn at(&self) -> Position {
        Position(self.position)
    }
}
