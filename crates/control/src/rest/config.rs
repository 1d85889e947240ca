//! Configuration over HTTP.

use super::reply::{Asked, Reply, invalid, json, read, tagged};
use super::{App, watch};
use crate::writer::Recorded;
use axum::body::Body;
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;
use tenon_api::http::{
    Changed, ConfigChange, ConfigDiff, ConfigEntry, ConfigHistory, ConfigList, ConfigOrigin, ConfigRecord,
    RollbackConfig, ServiceConfig, SetConfig,
};
use tenon_api::value;
use tenon_core::config::{self, Command, Entry, diff as differences};
use tenon_core::manifest::ConfigKey;
use tenon_core::platform::{self, State as Platform};
use tenon_core::{Code, Refusal, Revision, ServiceRef, Stamp};

/// How many changes a history tells, if not asked for otherwise, and at most.
const RECORDS: (usize, usize) = (100, 1_000);

pub(super) async fn list(State(app): State<Arc<App>>) -> Reply {
    let list = app.writer.read(|view| ConfigList {
        revision: view.state.revision,
        services: view.state.config.services().map(|service| service_config(&view.state, service)).collect(),
    });
    json(&list)
}

#[derive(Deserialize)]
struct Watch {
    #[serde(default)]
    watch: bool,
}

pub(super) async fn of_service(State(app): State<Arc<App>>, asked: Asked) -> Reply {
    let service = asked.service()?;
    if asked.query::<Watch>()?.watch {
        return watch::config(&app, service, asked.last_event_id()?);
    }
    let config = app.writer.read(|view| {
        known(&view.state, &service)?;
        Ok::<_, Refusal>(service_config(&view.state, &service))
    })?;
    json(&config)
}

pub(super) async fn show(State(app): State<Arc<App>>, asked: Asked) -> Reply {
    let (service, key) = (asked.service()?, asked.key()?);
    show_entry(&app, &service, &key)
}

pub(super) async fn set(State(app): State<Arc<App>>, asked: Asked, body: Body) -> Reply {
    let (service, key, actor) = (asked.service()?, asked.key()?, asked.actor()?);
    let expected = asked.if_match(app.writer.read(|view| view.state.revision))?;
    let SetConfig { value: asked_value } = read(body).await?;
    let value = value::to_core(&asked_value)
        .map_err(|error| Refusal::new(Code::ConfigInvalidValue, error.to_string()))?;
    let schemas = Arc::clone(&app.schemas);
    let command = Command::Set { service: service.clone(), key: key.clone(), value, expected };
    let decide = {
        let (service, key) = (service.clone(), key.clone());
        let asked_value = asked_value.clone();
        move |state: &Platform, now| {
            if let Some(schema) = state.catalog.schema(&service, &key) {
                schemas.check(key.as_str(), schema, &asked_value)?;
            }
            platform::decide(state, &platform::Command::Config(command.clone()), now)
        }
    };
    let done = app.writer.decide(actor, decide).await?;
    let recorded =
        app.writer.read(|view| Some((view.state.revision, view.history.at(done.revision.position)?.clone())));
    match recorded {
        // What was set here, should it have changed again by now.
        Some((present, recorded)) if !done.events.is_empty() => {
            shown(&recorded_entry(present, &recorded, &key, asked_value))
        }
        _ => show_entry(&app, &service, &key),
    }
}

fn recorded_entry(
    present: Revision,
    recorded: &Recorded,
    key: &ConfigKey,
    value: serde_json::Value,
) -> ConfigEntry {
    let Stamp { position, time, actor } = recorded.stamp.clone();
    let revision = Revision { position, ..present };
    ConfigEntry { key: key.clone(), value, revision, set_at: time, set_by: actor, origin: ConfigOrigin::Hand }
}

pub(super) async fn remove(State(app): State<Arc<App>>, asked: Asked) -> Reply {
    let (service, key, actor) = (asked.service()?, asked.key()?, asked.actor()?);
    let expected = asked.if_match(app.writer.read(|view| view.state.revision))?;
    let command = platform::Command::Config(Command::Remove { service, key, expected });
    let revision = app.writer.command(actor, command).await?.revision;
    json(&Changed { revision })
}

#[derive(Deserialize)]
struct Which {
    key: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn history(State(app): State<Arc<App>>, asked: Asked) -> Reply {
    let (service, Which { key, limit }) = (asked.service()?, asked.query()?);
    let key = key.map(|text| ConfigKey::new(&text)).transpose().map_err(invalid)?;
    let limit = limit.unwrap_or(RECORDS.0).min(RECORDS.1);
    let log = app.writer.read(|view| known(&view.state, &service).map(|()| view.state.revision.log))?;
    let is_asked_for =
        |record: &crate::past::Record| key.as_ref().is_none_or(|key| *key == record.change.key);
    let records = app.past.records(&service, limit, is_asked_for).await?;
    let record = |record: crate::past::Record| ConfigRecord {
        change: told(log, &record.change),
        at: record.stamp.time,
        by: record.stamp.actor,
        origin: record.origin.into(),
    };
    json(&ConfigHistory { service, records: records.into_iter().rev().map(record).collect() })
}

#[derive(Deserialize)]
struct Between {
    from: Option<String>,
    to: Option<String>,
}

pub(super) async fn diff(State(app): State<Arc<App>>, asked: Asked) -> Reply {
    let (service, Between { from, to }) = (asked.service()?, asked.query()?);
    let present = app.writer.read(|view| known(&view.state, &service).map(|()| view.state.revision))?;
    let revision = |text: String| text.parse::<Revision>().map_err(invalid);
    let from =
        from.map(revision).transpose()?.ok_or_else(|| invalid("the query needs `from=LOG-ID@POSITION`"))?;
    let to = to.map(revision).transpose()?.unwrap_or(present);
    let (before, after) = (app.past.at(&service, from).await?, app.past.at(&service, to).await?);
    // Where the newer of both was recorded, whichever way round they were asked for.
    let newer = if from.position > to.position { &before } else { &after };
    let change = |it: config::Difference| ConfigChange {
        revision: Revision { position: newer.changed.get(&it.key).copied().unwrap_or_default(), ..to },
        key: it.key,
        old: it.old.as_ref().map(value::from_core),
        new: it.new.as_ref().map(value::from_core),
    };
    let changes = differences(&before.state.values(&service), &after.state.values(&service));
    json(&ConfigDiff { service, from, to, changes: changes.into_iter().map(change).collect() })
}

pub(super) async fn rollback(State(app): State<Arc<App>>, asked: Asked, body: Body) -> Reply {
    let (service, actor) = (asked.service()?, asked.actor()?);
    let RollbackConfig { revision } = read(body).await?;
    app.writer.read(|view| known(&view.state, &service))?;
    let to = app.past.at(&service, revision).await?.state.values(&service);
    let schemas = Arc::clone(&app.schemas);
    let decide = {
        let service = service.clone();
        move |state: &Platform, now| {
            for (key, value) in &to {
                if let Some(schema) = state.catalog.schema(&service, key) {
                    schemas.check(key.as_str(), schema, &value::from_core(value))?;
                }
            }
            let command = Command::Rollback { service: service.clone(), to: to.clone() };
            platform::decide(state, &platform::Command::Config(command), now)
        }
    };
    app.writer.decide(actor, decide).await?;
    json(&app.writer.read(|view| service_config(&view.state, &service)))
}

/// What a watcher is told.
pub(super) fn told(log: tenon_core::LogId, change: &config::Change) -> ConfigChange {
    ConfigChange {
        key: change.key.clone(),
        old: change.old.as_ref().map(value::from_core),
        new: change.new.as_ref().map(value::from_core),
        revision: Revision { log, position: change.position },
    }
}

/// Whether there is such a service, or configuration of one that there was.
pub(super) fn known(state: &Platform, service: &ServiceRef) -> Result<(), Refusal> {
    if state.config.entries(service).next().is_some() {
        return Ok(());
    }
    state.catalog.service(service).map(drop)
}

fn show_entry(app: &App, service: &ServiceRef, key: &ConfigKey) -> Reply {
    let entry = app.writer.read(|view| {
        known(&view.state, service)?;
        let found = view.state.config.get(service, key);
        let missing = || {
            Refusal::new(
                Code::ConfigUnknownKey,
                format!("{service} has no configuration {key:?}", key = key.as_str()),
            )
        };
        found.map(|found| entry(view.state.revision, key, found)).ok_or_else(missing)
    })?;
    shown(&entry)
}

fn shown(entry: &ConfigEntry) -> Reply {
    Ok(tagged(json(entry)?, entry.revision))
}

fn service_config(state: &Platform, service: &ServiceRef) -> ServiceConfig {
    let entries = state.config.entries(service).map(|(key, found)| entry(state.revision, key, found));
    ServiceConfig { service: service.clone(), revision: state.revision, entries: entries.collect() }
}

fn entry(present: Revision, key: &ConfigKey, entry: &Entry) -> ConfigEntry {
    ConfigEntry {
        key: key.clone(),
        value: value::from_core(&entry.value),
        revision: Revision { position: entry.revision, ..present },
        set_at: entry.set_at,
        set_by: entry.set_by.clone(),
        origin: entry.origin.into(),
    }
}
