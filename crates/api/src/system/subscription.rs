//! Subscriptions, as a manifest and the API have them.

use super::{DelayDoc, JitterDoc, within};
use crate::InvalidMessage;
use crate::bus::pushed_form;
use crate::invalid::{each, parsed};
use crate::mirror::mirror;
use crate::text::millis::round_up;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tenon_core::group::{Config, Definition, Delivered, Filter, Form, Ordering, ParkedKey, Start, WhenFull};
use tenon_core::retry::Backoff;
use tenon_core::{Namespace, Position, SubscriptionName};

/// What a subscription is: which events, from where on, in what order, to whom. What is left out has its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SubscriptionDoc {
    /// Any of these types, which are topics; every one if empty.
    pub types: Vec<String>,
    /// All of these tags.
    pub tags: Vec<String>,
    /// How the stream's name begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Where it begins when it is made: `beginning`, `end`, after a position, or with a time (RFC 3339).
    pub start: String,
    /// What is given one at a time, in the order of the log: the events of a `stream`, those that share a tag which begins
    /// with a text (`tag:TEXT`), or `none`.
    pub order_by: String,
    /// Which service is called with each event; if null, consumers ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<PushDoc>,
    /// How long a delivery may take to be acknowledged.
    pub ack_deadline_ms: u64,
    /// How many events may be given and not settled.
    pub in_flight: u32,
    /// How often an event is given before it is parked.
    pub max_deliveries: u32,
    /// How long an event waits after it failed.
    pub backoff: BackoffDoc,
    /// For how many of the last events a second one with the same id is left out; 0 for none.
    pub dedup: u32,
    /// How many events are held: given, waiting for a consumer, a time or their turn.
    pub capacity: u32,
    /// What happens when as many are held, and there are more.
    pub when_full: WhenFullDoc,
    /// Whether the events of a key wait behind one that is parked.
    pub parked_key: ParkedKeyDoc,
    /// How many events may be parked.
    pub most_parked: u32,
}

/// Which service is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PushDoc {
    /// The service: its name, or `name.namespace`.
    pub service: String,
    /// The path that is posted to; with `grpc` the method, `/tenon.bus.v1.ConsumerService/Deliver` if it is left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Whether the whole event is the body, rather than its data with the attributes in headers.
    #[serde(default)]
    pub structured: bool,
    /// Whether the service is called over gRPC.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grpc: bool,
}

/// How long an event waits after it failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackoffDoc {
    /// Before each delivery after the first.
    pub delay: DelayDoc,
    /// How the wait varies.
    pub jitter: JitterDoc,
    /// The longest wait.
    pub max_delay_ms: u64,
}

mirror! {
    /// What happens when a subscription holds as many events as it may.
    WhenFullDoc of WhenFull {
        /// The others wait in the log.
        Block,
        /// The same, and publishers are refused until there is room.
        Reject,
        /// What has waited longest for a consumer is left out, and counted.
        DropOldest,
    }
}

mirror! {
    /// What the events of a key do when one of them is parked.
    ParkedKeyDoc of ParkedKey {
        /// They wait, so that the order holds.
        Block,
        /// They run on.
        Continue,
    }
}

impl Default for SubscriptionDoc {
    fn default() -> Self {
        Self::of(
            &Filter::default(),
            Start::default(),
            &Ordering::default(),
            &Config::default(),
            &Delivered::Pull,
        )
    }
}

impl From<&Definition> for SubscriptionDoc {
    fn from(definition: &Definition) -> Self {
        let Definition { filter, start, ordering, config, delivered, .. } = definition;
        Self::of(filter, *start, ordering, config, delivered)
    }
}

impl SubscriptionDoc {
    fn of(
        filter: &Filter,
        start: Start,
        ordering: &Ordering,
        config: &Config,
        delivered: &Delivered,
    ) -> Self {
        let push = match delivered {
            Delivered::Pull => None,
            Delivered::Push { service, path, form } => Some(PushDoc {
                service: service.to_string(),
                path: path.clone(),
                structured: *form == Form::Structured,
                grpc: *form == Form::Grpc,
            }),
        };
        let Backoff { delay, jitter, max_delay } = config.backoff;
        Self {
            types: filter.types.iter().map(ToString::to_string).collect(),
            tags: filter.tags.iter().map(ToString::to_string).collect(),
            prefix: filter.prefix.as_ref().map(ToString::to_string),
            start: start_text(start),
            order_by: ordering_text(ordering),
            push,
            ack_deadline_ms: round_up(config.ack_deadline),
            in_flight: config.in_flight,
            max_deliveries: config.deliveries,
            backoff: BackoffDoc {
                delay: delay.into(),
                jitter: jitter.into(),
                max_delay_ms: round_up(max_delay),
            },
            dedup: config.dedup,
            capacity: config.capacity,
            when_full: config.when_full.into(),
            parked_key: config.parked_key.into(),
            most_parked: config.most_parked,
        }
    }

    /// The definition, as the subscription of this name.
    ///
    /// # Errors
    /// [`InvalidMessage`] names the field.
    pub fn to_definition(
        &self,
        namespace: Namespace,
        name: SubscriptionName,
    ) -> Result<Definition, InvalidMessage> {
        let push = |push: &PushDoc| {
            let service = parsed("push.service", &push.service)?;
            let (path, form) = pushed_form(push.path.clone(), push.structured, push.grpc)?;
            Ok(Delivered::Push { service, path, form })
        };
        let definition = Definition {
            namespace,
            name,
            filter: Filter {
                types: each("types", &self.types, |text| parsed("", text))?,
                tags: each("tags", &self.tags, |text| parsed("", text))?,
                prefix: self.prefix.as_deref().map(|text| parsed("prefix", text)).transpose()?,
            },
            start: parse_start(&self.start).map_err(|problem| InvalidMessage::new("start", problem))?,
            ordering: parse_ordering(&self.order_by)
                .map_err(|problem| InvalidMessage::new("order_by", problem))?,
            config: Config {
                ack_deadline: Duration::from_millis(self.ack_deadline_ms),
                in_flight: self.in_flight,
                deliveries: self.max_deliveries,
                backoff: Backoff {
                    delay: self.backoff.delay.into(),
                    jitter: self.backoff.jitter.into(),
                    max_delay: Duration::from_millis(within(
                        "backoff.max_delay_ms",
                        self.backoff.max_delay_ms,
                        0..=DAY,
                    )?),
                },
                dedup: self.dedup,
                capacity: self.capacity,
                when_full: self.when_full.into(),
                parked_key: self.parked_key.into(),
                most_parked: self.most_parked,
            },
            delivered: self.push.as_ref().map_or(Ok(Delivered::Pull), push)?,
            declared: false,
        };
        definition.check().map_err(|refusal| InvalidMessage::new("", refusal.detail))?;
        Ok(definition)
    }
}

const DAY: u64 = 24 * 60 * 60 * 1_000;

/// Reads where a subscription begins.
///
/// # Errors
/// What is expected.
pub fn parse_start(text: &str) -> Result<Start, String> {
    match text {
        "beginning" => Ok(Start::Beginning),
        "end" => Ok(Start::End),
        other if other.bytes().all(|byte| byte.is_ascii_digit()) => {
            let position = other.parse().map_err(|_| format!("{other:?} is no position"))?;
            Ok(Start::After(Position(position)))
        }
        other => crate::time::parse(other)
            .map(Start::Time)
            .map_err(|error| format!("{error}, nor `beginning`, `end` or a position")),
    }
}

/// Reads what orders a subscription's events.
///
/// # Errors
/// What is expected.
pub fn parse_ordering(text: &str) -> Result<Ordering, String> {
    match (text, text.strip_prefix("tag:")) {
        ("stream", _) => Ok(Ordering::Stream),
        ("none", _) => Ok(Ordering::Unordered),
        (_, Some(prefix)) if tenon_core::Tag::new(prefix).is_ok() => Ok(Ordering::Tag(prefix.to_owned())),
        _ => Err(format!("{text:?} is not `stream`, `none`, or `tag:` and how a tag begins")),
    }
}

fn start_text(start: Start) -> String {
    match start {
        Start::Beginning => "beginning".to_owned(),
        Start::End => "end".to_owned(),
        Start::After(position) => position.to_string(),
        Start::Time(time) => time.to_string(),
    }
}

fn ordering_text(ordering: &Ordering) -> String {
    match ordering {
        Ordering::Stream => "stream".to_owned(),
        Ordering::Tag(prefix) => format!("tag:{prefix}"),
        Ordering::Unordered => "none".to_owned(),
    }
}
