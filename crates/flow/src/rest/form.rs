//! Reading requests.

use super::reply::{Failure, invalid};
use super::{query_of, version_of};
use crate::events::EventStore;
use crate::events::append::{Expected, Version};
use crate::events::past::At;
use crate::events::rights::Rights;
use crate::vault;
use axum::extract::{FromRequestParts, Query as UrlQuery, RawPathParams};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::str::FromStr;
use tenon_api::caller::Caller;
use tenon_api::http::{AppendCondition, AppendEvent, EventFilter, ExpectedVersion};
use tenon_core::{
    Actor, Code, InvalidName, LogId, Namespace, Position, Refusal, Revision, StreamName, Subject, Text,
};
use tenon_store::{Condition, Metadata, NewEvent, Query, QueryItem, new_event_id};

/// The word for every namespace.
const EVERY: &str = "*";

/// What a read asks for in its query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadQuery {
    namespace: Option<String>,
    prefix: Option<String>,
    #[serde(rename = "type")]
    types: Option<String>,
    #[serde(rename = "tag")]
    tags: Option<String>,
    pub(super) from: Option<String>,
    #[serde(default)]
    pub(super) backward: bool,
    pub(super) limit: Option<u64>,
    pub(super) at: Option<String>,
    #[serde(default)]
    pub(super) follow: bool,
}

impl ReadQuery {
    /// Which events are meant.
    pub(super) fn events(&self, own: Namespace, stream: Option<StreamName>) -> Result<Query, Failure> {
        let namespace = match self.namespace.as_deref() {
            None => Some(own),
            Some(EVERY) => None,
            Some(text) => Some(name("namespace", text)?),
        };
        let item = QueryItem {
            streams: stream.into_iter().collect(),
            prefix: self.prefix.as_deref().map(|text| name("prefix", text)).transpose()?,
            tags: names("tag", self.tags.as_deref())?,
            types: names("type", self.types.as_deref())?,
        };
        let items = if item == QueryItem::default() { Vec::new() } else { vec![item] };
        Ok(query_of(namespace, items))
    }

    /// Whether everything of a stream is asked for, up to the present.
    pub(super) fn is_present(&self) -> bool {
        self.at.is_none() && self.types.is_none() && self.tags.is_none() && self.prefix.is_none()
    }
}

/// What a request says outside its body.
pub(super) struct Asked {
    parts: Parts,
    parameters: Vec<(String, String)>,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        // There are none if a segment does not decode; whoever asks for one then refuses.
        let raw = RawPathParams::from_request_parts(parts, state).await;
        let parameters = raw.map(|raw| raw.iter().map(|(name, value)| (name.into(), value.into())).collect());
        Ok(Self { parts: parts.clone(), parameters: parameters.unwrap_or_default() })
    }
}

impl Asked {
    /// The stream that the path names.
    pub(super) fn stream(&self) -> Result<StreamName, Failure> {
        self.parameter("stream")
    }

    /// The subject that the path names.
    pub(super) fn subject(&self) -> Result<Subject, Failure> {
        self.parameter("subject")
    }

    /// Who is recorded with a change.
    pub(super) fn actor(&self) -> Option<Actor> {
        self.caller().map(Caller::actor)
    }

    /// Who calls.
    pub(super) fn caller(&self) -> Option<&Caller> {
        self.parts.extensions.get::<Caller>()
    }

    /// The headers.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    pub(super) fn parameter<T: FromStr<Err = InvalidName>>(&self, field: &str) -> Result<T, Failure> {
        let found = self.parameters.iter().find(|(known, _)| known == field);
        let missing = || invalid(format!("the path has no valid {field}"));
        name(field, &found.ok_or_else(missing)?.1)
    }

    /// What the caller may do.
    pub(super) fn rights(&self, store: &EventStore) -> Result<Rights, Failure> {
        Ok(Rights::of(self.caller(), store.is_verbatim())?)
    }

    /// The query.
    pub(super) fn query<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let query = UrlQuery::<T>::try_from_uri(&self.parts.uri);
        query.map(|UrlQuery(query)| query).map_err(|rejection| invalid(rejection.body_text()).into())
    }

    /// The namespace of what names none.
    pub(super) fn namespace(&self, store: &EventStore) -> Result<Namespace, Failure> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Within {
            namespace: Option<String>,
        }
        match self.query::<Within>()?.namespace {
            Some(text) => name("namespace", &text),
            None => Ok(self.rights(store)?.namespace()),
        }
    }

    /// The version that the headers expect of the stream.
    pub(super) fn expected_version(&self, log: LogId) -> Result<Option<Version>, Failure> {
        version_of(self.text(&header::IF_MATCH)?, self.text(&header::IF_NONE_MATCH)?, log)
    }

    /// Where a stream of events is to go on.
    pub(super) fn last_event_id(&self, log: LogId) -> Result<Option<Position>, Failure> {
        let text = self.text(&HeaderName::from_static("last-event-id"))?;
        text.map(|text| revision(log, "last-event-id", text)).transpose()
    }

    /// The trace that the request is part of.
    pub(super) fn traceparent(&self) -> Option<String> {
        let value = self.parts.headers.get(tenon_api::headers::TRACEPARENT)?.to_str().ok()?;
        (value.len() <= 64).then(|| value.to_owned())
    }

    pub(super) fn text(&self, name: &HeaderName) -> Result<Option<&str>, Failure> {
        let value = self.parts.headers.get(name).map(|value| value.to_str()).transpose();
        value.map_err(|_| invalid(format!("the header {name} is not text")).into())
    }
}

/// An event to append.
pub(super) fn new_event(
    event: AppendEvent,
    within: &Namespace,
    traceparent: Option<&str>,
) -> Result<NewEvent, Failure> {
    let missing = || invalid("each event must name its stream");
    let data = match (&event.data, &event.data_base64) {
        (Some(_), Some(_)) => return Err(invalid("an event has data or data_base64, not both").into()),
        (Some(json), None) => Bytes::from(json.to_string()),
        (None, Some(text)) => {
            let decoded = BASE64_STANDARD.decode(text);
            decoded.map_err(|error| invalid(format!("data_base64: {error}")))?.into()
        }
        (None, None) => Bytes::new(),
    };
    let mut other = event.metadata;
    if let Some(subject) = event.subject {
        other.insert(vault::SUBJECT.to_owned(), subject);
    }
    let metadata = Metadata {
        actor: None,
        traceparent: traceparent.map(Text::from),
        causation: event.causation,
        correlation: event.correlation.map(Text::from),
        other,
    };
    Ok(NewEvent {
        id: event.id.unwrap_or_else(new_event_id),
        namespace: event.namespace.unwrap_or_else(|| within.clone()),
        stream: event.stream.ok_or_else(missing)?,
        event_type: event.event_type,
        tags: event.tags.into_iter().collect(),
        data,
        metadata,
    })
}

/// What is expected of a stream.
pub(super) fn expected(
    log: LogId,
    expected: ExpectedVersion,
    within: &Namespace,
) -> Result<Expected, Failure> {
    let version = match expected.version.as_str() {
        "none" => Version::Unchanged(Position::START),
        "exists" => Version::Exists,
        text => Version::Unchanged(revision(log, "version", text)?),
    };
    let namespace = expected.namespace.unwrap_or_else(|| within.clone());
    Ok(Expected { namespace, stream: expected.stream, version })
}

/// What must hold for an append to happen.
pub(super) fn condition(
    log: LogId,
    condition: AppendCondition,
    within: &Namespace,
) -> Result<Condition, Failure> {
    let after = of_log(log, "after", condition.after)?;
    let item = |filter: EventFilter| QueryItem {
        streams: filter.streams.into_iter().collect(),
        prefix: None,
        tags: filter.tags.into_iter().collect(),
        types: filter.types.into_iter().collect(),
    };
    let items = condition.none_of.into_iter().map(item).collect();
    Ok(Condition { query: query_of(Some(within.clone()), items), after })
}

/// A point of the past.
pub(super) fn at(log: LogId, text: Option<&str>) -> Result<At, Failure> {
    let Some(text) = text else { return Ok(At::Now) };
    if let Ok(at) = position(log, "at", text) {
        return Ok(At::Position(at));
    }
    if text.parse::<Revision>().is_ok() {
        // Of another log: say so.
        return revision(log, "at", text).map(At::Position);
    }
    let time = tenon_api::time::parse(text);
    time.map(At::Time).map_err(|error| invalid(format!("at: {error}, nor a position or revision")).into())
}

/// A position, or a revision of this log.
pub(super) fn position(log: LogId, field: &str, text: &str) -> Result<Position, Failure> {
    match text.parse() {
        Ok(position) => Ok(Position(position)),
        Err(_) => revision(log, field, text),
    }
}

/// The position of a revision of this log.
pub(super) fn revision(log: LogId, field: &str, text: &str) -> Result<Position, Failure> {
    let revision: Revision = text.parse().map_err(|error| invalid(format!("{field}: {error}")))?;
    of_log(log, field, revision)
}

fn of_log(log: LogId, field: &str, revision: Revision) -> Result<Position, Failure> {
    if revision.log == log {
        return Ok(revision.position);
    }
    let detail = format!("{field}: {revision} is of another log than this one, {log}; read again");
    Err(Refusal::new(Code::LogOther, detail).into())
}

fn names<T: Ord + FromStr<Err = InvalidName>>(
    field: &str,
    text: Option<&str>,
) -> Result<BTreeSet<T>, Failure> {
    text.into_iter().flat_map(|text| text.split(',')).map(|text| name(field, text)).collect()
}

pub(super) fn name<T: FromStr<Err = InvalidName>>(field: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error| invalid(format!("{field}: {error}")).into())
}
