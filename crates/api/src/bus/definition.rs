//! Definitions of subscriptions, as messages.

use super::v1;
use crate::InvalidMessage;
use crate::invalid::{Checked, each, nested, parsed};
use std::time::Duration;
use tenon_core::group::{
    Config, Counts, DELIVER, Definition, Delivered, Filter, Form, Ordering, ParkedKey, Start, Status,
    WhenFull,
};
use tenon_core::retry::{Backoff, Delay, Jitter};
use tenon_core::{Namespace, Position, Timestamp};

impl From<&Definition> for v1::Definition {
    fn from(definition: &Definition) -> Self {
        let Definition { namespace, name, filter, start, ordering, config, delivered, declared } = definition;
        let push = match delivered {
            Delivered::Pull => None,
            Delivered::Push { service, path, form } => Some(v1::Push {
                service: service.to_string(),
                path: path.clone(),
                structured: *form == Form::Structured,
                grpc: *form == Form::Grpc,
            }),
        };
        Self {
            namespace: namespace.to_string(),
            name: name.to_string(),
            filter: Some(v1::Filter {
                types: filter.types.iter().map(ToString::to_string).collect(),
                tags: filter.tags.iter().map(ToString::to_string).collect(),
                prefix: filter.prefix.as_ref().map(ToString::to_string).unwrap_or_default(),
            }),
            start: Some((*start).into()),
            ordering: Some(ordering.into()),
            settings: Some(config.into()),
            push,
            declared: *declared,
        }
    }
}

impl TryFrom<v1::Definition> for Definition {
    type Error = InvalidMessage;

    fn try_from(message: v1::Definition) -> Checked<Self> {
        let v1::Definition { namespace, name, filter, start, ordering, settings, push, declared } = message;
        let v1::Filter { types, tags, prefix } = filter.unwrap_or_default();
        let prefix = Some(prefix).filter(|prefix| !prefix.is_empty());
        Ok(Self {
            namespace: namespace_of(&namespace)?,
            name: parsed("name", &name)?,
            filter: Filter {
                types: each("filter.types", types, |text| parsed("", &text))?,
                tags: each("filter.tags", tags, |text| parsed("", &text))?,
                prefix: prefix.map(|prefix| parsed("filter.prefix", &prefix)).transpose()?,
            },
            start: start.unwrap_or_default().into(),
            ordering: ordering.unwrap_or_default().into(),
            config: nested("settings", Some(settings.unwrap_or_default()))?,
            delivered: push.map_or(Ok(Delivered::Pull), pushed)?,
            declared,
        })
    }
}

/// Reads a namespace; the default one if it is empty.
pub(crate) fn namespace_of(text: &str) -> Checked<Namespace> {
    if text.is_empty() { Ok(Namespace::default()) } else { parsed("namespace", text) }
}

fn pushed(push: v1::Push) -> Checked<Delivered> {
    let v1::Push { service, path, structured, grpc } = push;
    let (path, form) = pushed_form(path, structured, grpc)?;
    Ok(Delivered::Push { service: parsed("push.service", &service)?, path, form })
}

/// How a service is sent events, and where.
pub(crate) fn pushed_form(path: String, structured: bool, grpc: bool) -> Checked<(String, Form)> {
    match (structured, grpc) {
        (false, false) => Ok((path, Form::Binary)),
        (true, false) => Ok((path, Form::Structured)),
        (false, true) if path.is_empty() => Ok((DELIVER.to_owned(), Form::Grpc)),
        (false, true) => Ok((path, Form::Grpc)),
        (true, true) => Err(InvalidMessage::new("push", "is either structured or over gRPC")),
    }
}

impl From<Start> for v1::Start {
    fn from(start: Start) -> Self {
        use v1::start::At;
        let at = match start {
            Start::Beginning => At::Beginning(v1::Nothing {}),
            Start::End => At::End(v1::Nothing {}),
            Start::After(position) => At::After(position.0),
            Start::Time(time) => At::TimeMicros(time.as_micros()),
        };
        Self { at: Some(at) }
    }
}

/// What states nothing is the end.
impl From<v1::Start> for Start {
    fn from(start: v1::Start) -> Self {
        use v1::start::At;
        match start.at {
            None | Some(At::End(v1::Nothing {})) => Self::End,
            Some(At::Beginning(v1::Nothing {})) => Self::Beginning,
            Some(At::After(position)) => Self::After(Position(position)),
            Some(At::TimeMicros(micros)) => Self::Time(Timestamp::from_micros(micros)),
        }
    }
}

impl From<&Ordering> for v1::Ordering {
    fn from(ordering: &Ordering) -> Self {
        use v1::ordering::By;
        let by = match ordering {
            Ordering::Stream => By::Stream(v1::Nothing {}),
            Ordering::Tag(prefix) => By::Tag(prefix.clone()),
            Ordering::Unordered => By::None(v1::Nothing {}),
        };
        Self { by: Some(by) }
    }
}

/// What states nothing is by stream.
impl From<v1::Ordering> for Ordering {
    fn from(ordering: v1::Ordering) -> Self {
        use v1::ordering::By;
        match ordering.by {
            None | Some(By::Stream(v1::Nothing {})) => Self::Stream,
            Some(By::Tag(prefix)) => Self::Tag(prefix),
            Some(By::None(v1::Nothing {})) => Self::Unordered,
        }
    }
}

impl From<&Config> for v1::Settings {
    fn from(config: &Config) -> Self {
        let &Config { ack_deadline, in_flight, deliveries, backoff, dedup, .. } = config;
        let &Config { capacity, when_full, parked_key, most_parked, .. } = config;
        let when_full = match when_full {
            WhenFull::Block => v1::WhenFull::Block,
            WhenFull::Reject => v1::WhenFull::Reject,
            WhenFull::DropOldest => v1::WhenFull::DropOldest,
        };
        let parked_key = match parked_key {
            ParkedKey::Block => v1::ParkedKey::Block,
            ParkedKey::Continue => v1::ParkedKey::Continue,
        };
        Self {
            ack_deadline_micros: Some(micros(ack_deadline)),
            in_flight: Some(in_flight),
            deliveries: Some(deliveries),
            backoff: Some(backoff.into()),
            dedup: Some(dedup),
            capacity: Some(capacity),
            when_full: when_full.into(),
            parked_key: parked_key.into(),
            most_parked: Some(most_parked),
        }
    }
}

/// What states nothing is as by default.
impl TryFrom<v1::Settings> for Config {
    type Error = InvalidMessage;

    fn try_from(settings: v1::Settings) -> Checked<Self> {
        let unknown = |field: &str| InvalidMessage::new(field, "is not a value that is known here");
        let when_full = v1::WhenFull::try_from(settings.when_full).map_err(|_| unknown("when_full"))?;
        let parked_key = v1::ParkedKey::try_from(settings.parked_key).map_err(|_| unknown("parked_key"))?;
        let usual = Self::default();
        let deadline = settings.ack_deadline_micros.map(Duration::from_micros);
        Ok(Self {
            ack_deadline: deadline.unwrap_or(usual.ack_deadline),
            in_flight: settings.in_flight.unwrap_or(usual.in_flight),
            deliveries: settings.deliveries.unwrap_or(usual.deliveries),
            backoff: settings.backoff.map_or(Ok(usual.backoff), |it| nested("backoff", Some(it)))?,
            dedup: settings.dedup.unwrap_or(usual.dedup),
            capacity: settings.capacity.unwrap_or(usual.capacity),
            when_full: match when_full {
                v1::WhenFull::Block => WhenFull::Block,
                v1::WhenFull::Reject => WhenFull::Reject,
                v1::WhenFull::DropOldest => WhenFull::DropOldest,
            },
            parked_key: match parked_key {
                v1::ParkedKey::Block => ParkedKey::Block,
                v1::ParkedKey::Continue => ParkedKey::Continue,
            },
            most_parked: settings.most_parked.unwrap_or(usual.most_parked),
        })
    }
}

impl From<Backoff> for v1::Backoff {
    fn from(backoff: Backoff) -> Self {
        use v1::backoff::Delay as Wire;
        let Backoff { delay, jitter, max_delay } = backoff;
        let delay = match delay {
            Delay::Fixed(delay) => Wire::FixedMicros(micros(delay)),
            Delay::Linear { base, increment } => {
                Wire::Linear(v1::Linear { base_micros: micros(base), increment_micros: micros(increment) })
            }
            Delay::Exponential { base, factor } => {
                Wire::Exponential(v1::Exponential { base_micros: micros(base), factor })
            }
        };
        let jitter = match jitter {
            Jitter::None => v1::Jitter::None,
            Jitter::Full => v1::Jitter::Full,
            Jitter::Decorrelated => v1::Jitter::Decorrelated,
        };
        Self { delay: Some(delay), jitter: jitter.into(), max_delay_micros: Some(micros(max_delay)) }
    }
}

impl TryFrom<v1::Backoff> for Backoff {
    type Error = InvalidMessage;

    fn try_from(backoff: v1::Backoff) -> Checked<Self> {
        use v1::backoff::Delay as Wire;
        let v1::Backoff { delay, jitter, max_delay_micros } = backoff;
        let usual = Config::default().backoff;
        let delay = match delay {
            None => usual.delay,
            Some(Wire::FixedMicros(micros)) => Delay::Fixed(Duration::from_micros(micros)),
            Some(Wire::Linear(v1::Linear { base_micros, increment_micros })) => Delay::Linear {
                base: Duration::from_micros(base_micros),
                increment: Duration::from_micros(increment_micros),
            },
            Some(Wire::Exponential(v1::Exponential { base_micros, factor })) => {
                Delay::Exponential { base: Duration::from_micros(base_micros), factor }
            }
        };
        let jitter = match v1::Jitter::try_from(jitter) {
            Ok(v1::Jitter::Full) => Jitter::Full,
            Ok(v1::Jitter::None) => Jitter::None,
            Ok(v1::Jitter::Decorrelated) => Jitter::Decorrelated,
            Err(_) => return Err(InvalidMessage::new("jitter", "is not a value that is known here")),
        };
        let max_delay = max_delay_micros.map_or(usual.max_delay, Duration::from_micros);
        Ok(Self { delay, jitter, max_delay })
    }
}

impl v1::Status {
    /// How a group is, on a log that ends there.
    pub fn of(status: &Status, head: Position) -> Self {
        let Status { low, read_to, held, in_flight, waiting, ready, parked, members, counts, .. } = *status;
        Self {
            low: low.0,
            read_to: read_to.0,
            head: head.0,
            held,
            in_flight,
            waiting,
            ready,
            parked,
            members,
            counts: Some(counts.into()),
        }
    }
}

impl From<Counts> for v1::Counts {
    fn from(counts: Counts) -> Self {
        let Counts { acked, failed, dropped, duplicates, discarded, gone } = counts;
        Self { acked, failed, dropped, duplicates, discarded, gone }
    }
}

impl From<v1::Counts> for Counts {
    fn from(counts: v1::Counts) -> Self {
        let v1::Counts { acked, failed, dropped, duplicates, discarded, gone } = counts;
        Self { acked, failed, dropped, duplicates, discarded, gone }
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
