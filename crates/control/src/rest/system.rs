//! The system as a whole over HTTP.

use super::App;
use super::describe::describe;
use super::reply::{Asked, Failure, Reply, json, json_with, read_most};
use super::services::count;
use crate::schema::Schemas;
use crate::server::{Manifest, SagaChange};
use axum::body::Body;
use axum::extract::State;
use http::StatusCode;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tenon_api::Problem;
use tenon_api::http::{
    ApplyManifest, ApplyOutcome, DutyStatus, InstanceCounts, Liveness, Status, SystemView,
};
use tenon_api::system::SystemDoc;
use tenon_api::value;
use tenon_core::catalog::{self, Applied};
use tenon_core::duty::{Duty, Holder};
use tenon_core::health;
use tenon_core::manifest::System;
use tenon_core::platform::{self, Command, State as Platform};
use tenon_core::registry::Instance;
use tenon_core::saga::{Definition, SagaName};
use tenon_core::{Code, Refusal, ServerId, ServiceRef};

/// What the manifest is called in findings.
const MANIFEST_NAME: &str = "tenon.yaml";

/// The most bytes of a manifest with the files that it names.
const MAX_MANIFEST_BYTES: usize = 4 << 20;

/// The program's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Answers only once the log has been folded, because nothing is served before.
pub(super) async fn health() -> Reply {
    json(&Liveness { ready: true, version: VERSION.into() })
}

pub(super) async fn openapi() -> Reply {
    json_with(StatusCode::OK, &tenon_api::openapi::openapi())
}

pub(super) async fn status(State(app): State<Arc<App>>) -> Reply {
    let status = app.writer.read(|view| {
        let state = &view.state;
        let system = state.catalog.system();
        Status {
            system: system.map(|it| it.name.to_string()),
            namespace: system.map(|it| it.namespace.to_string()),
            version: VERSION.into(),
            started_at: app.started_at,
            revision: state.revision,
            services: count(state.catalog.services()),
            unavailable: unavailable(state),
            instances: counts(state),
            gateway: system.and_then(|it| it.gateway.as_ref()).map(|it| it.listen.to_string()),
            gateway_tls: system.and_then(|it| it.gateway.as_ref()).is_some_and(|it| it.tls.is_some()),
            data_planes: app.snapshots.connected(),
            supervisor: app.supervised.is_so(),
            duties: duties(state, app.server),
            log_damage: Vec::new(),
        }
    });
    let log_damage = app.log.known_damage().iter().map(ToString::to_string).collect();
    json(&Status { log_damage, ..status })
}

fn duties(state: &Platform, own: ServerId) -> Vec<DutyStatus> {
    let held = [Duty::Health, Duty::Runtime].map(|duty| Some((duty, state.duties.holder(duty)?)));
    let status = |(duty, Holder { server, epoch }): (Duty, Holder)| DutyStatus {
        duty: duty.to_string(),
        server: server.to_string(),
        own: server == own,
        epoch: epoch.0,
    };
    held.into_iter().flatten().map(status).collect()
}

pub(super) async fn show(State(app): State<Arc<App>>) -> Reply {
    let found = app.writer.read(|view| {
        let applied = view.state.catalog.applied()?;
        let (manifest, system) = (applied.text.to_string(), SystemDoc::from(&*applied.system));
        Some(SystemView { revision: view.state.revision, manifest, system })
    });
    let none = || Refusal::new(Code::ManifestUnreadable, "no manifest is applied yet; run `tenon up`");
    json(&found.ok_or_else(none)?)
}

pub(super) async fn apply(State(app): State<Arc<App>>, asked: Asked, body: Body) -> Reply {
    let actor = asked.actor()?;
    let ApplyManifest { manifest: text, files, dry_run } = read_most(body, MAX_MANIFEST_BYTES).await?;
    let Manifest { system, findings } = read_manifest(&app, text.clone(), files).await?;
    check_values(&app.schemas, &system)?;
    let (document, declared) = (SystemDoc::from(&system), system.sagas.clone());
    let before = app.writer.read(|view| view.state.catalog.applied().cloned());
    let command =
        Command::Catalog(catalog::Command::Apply(Applied { system: Arc::new(system), text: text.into() }));
    let (revision, events, mut changes) = if dry_run {
        app.writer.read(|view| {
            let events = platform::decide(&view.state, &command, app.clock.now())?;
            let changes = describe(view.state.catalog.system(), &events);
            Ok::<_, Refusal>((view.state.revision, events, changes))
        })?
    } else {
        let done = app.writer.command(actor, command).await?;
        let changes = describe(before.as_ref().map(|it| &*it.system), &done.events);
        (done.revision, done.events, changes)
    };
    let former = before.as_ref().map(|it| it.system.sagas.clone()).unwrap_or_default();
    let changed = changed_sagas(&former, &declared).filter(|_| !events.is_empty()).collect();
    let sagas = match (app.concerned)(changed).await {
        Ok(sagas) => sagas,
        // The manifest is applied all the same.
        Err(refusal) => {
            tracing::warn!(%refusal, "cannot say which sagas a manifest concerns");
            changes.push(format!("it cannot be said which sagas run that it concerns: {refusal}"));
            Vec::new()
        }
    };
    let applied = !dry_run && !events.is_empty();
    json(&ApplyOutcome { revision, applied, findings, changes, sagas, system: document })
}

/// The sagas that a manifest adds, changes and removes.
fn changed_sagas<'a>(before: &'a Sagas, after: &'a Sagas) -> impl Iterator<Item = SagaChange> + 'a {
    let names: BTreeSet<&SagaName> = before.keys().chain(after.keys()).collect();
    let of =
        |name: &SagaName| SagaChange { before: before.get(name).cloned(), after: after.get(name).cloned() };
    names.into_iter().map(of).filter(|change| change.before != change.after)
}

type Sagas = BTreeMap<SagaName, Definition>;

/// Reading takes a while for a long manifest, so it is done where that harms nobody.
async fn read_manifest(
    app: &App,
    text: String,
    files: BTreeMap<String, String>,
) -> Result<Manifest, Failure> {
    let reader = Arc::clone(&app.read_manifest);
    let reading = tokio::task::spawn_blocking(move || reader(&text, MANIFEST_NAME, files));
    let read = reading
        .await
        .map_err(|error| Refusal::new(Code::Internal, format!("reading the manifest failed: {error}")))?;
    read.map_err(|errors| {
        let first = errors.first().map(|it| it.message.as_str()).unwrap_or_default();
        let detail =
            format!("the manifest has {} problems, the first: {first}; nothing was applied", errors.len());
        Problem { errors, ..Problem::new(Code::ManifestInvalid, detail) }.into()
    })
}

/// Whether the first values that a manifest states satisfy their schemas.
fn check_values(schemas: &Schemas, system: &System) -> Result<(), Refusal> {
    for (service, entries) in &system.config {
        for (key, entry) in entries {
            if let Some(schema) = &entry.schema {
                let name = format!("{service}.{key}");
                schemas.check(&name, schema, &value::from_core(&entry.value))?;
            }
        }
    }
    Ok(())
}

/// Services that should have an instance that may be called, and have none.
fn unavailable(state: &Platform) -> Vec<ServiceRef> {
    let should_run = |name: &ServiceRef, service: &tenon_core::manifest::Service| {
        service.replicas() == 0 || state.runtime.wanted(&state.catalog, name) > 0
    };
    let has_none = |name: &ServiceRef| state.registry.lookup(&state.catalog, name).is_err();
    let of = state.catalog.services().filter(|(name, service)| should_run(name, service) && has_none(name));
    of.map(|(name, _)| name).collect()
}

fn counts(state: &Platform) -> InstanceCounts {
    let matching = |is: fn(&&Instance) -> bool| count(state.registry.all().filter(is));
    InstanceCounts {
        total: count(state.registry.all()),
        healthy: matching(|it| it.is_callable()),
        unhealthy: matching(|it| it.status == health::Status::Unhealthy),
        unknown: matching(|it| it.status == health::Status::Unknown),
        draining: matching(|it| it.draining),
    }
}
