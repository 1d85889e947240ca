//! Services and their instances over HTTP.

use super::App;
use super::reply::{Asked, Reply, invalid, json, json_with, read};
use crate::checks::Heartbeats;
use crate::writer::View;
use axum::body::Body;
use axum::extract::State;
use http::StatusCode;
use std::collections::BTreeSet;
use std::sync::Arc;
use tenon_api::http::{
    Changed, FailedReplica, Heartbeat, Instance, InstanceList, RegisterInstance, ScaleService, ServiceList,
    ServiceSummary, ServiceView,
};
use tenon_api::system::{ServiceDoc, TrafficDoc};
use tenon_core::health::Check;
use tenon_core::manifest::Workload;
use tenon_core::platform::{Command, State as Platform, health_config};
use tenon_core::registry::{self, DeregisterReason, Labels, Metadata, Origin, Registration};
use tenon_core::{Refusal, ServiceRef, runtime};

pub(super) async fn list(State(app): State<Arc<App>>) -> Reply {
    let list = app.writer.read(|view| ServiceList {
        revision: view.state.revision,
        services: names(&view.state).iter().map(|service| summary(&view.state, service)).collect(),
    });
    json(&list)
}

pub(super) async fn show(State(app): State<Arc<App>>, asked: Asked) -> Reply {
    let service = asked.service()?;
    let found = app.writer.read(|view| {
        known(&view.state, &service)?;
        let system = view.state.catalog.system();
        Ok::<_, Refusal>(ServiceView {
            revision: view.state.revision,
            summary: summary(&view.state, &service),
            definition: view.state.catalog.get(&service).map(ServiceDoc::from),
            traffic: system.map(|it| TrafficDoc::from(it.traffic.of(&service.name))),
            instances: view
                .state
                .registry
                .instances(&service)
                .map(|it| instance(view, &app.heartbeats, it))
                .collect(),
        })
    })?;
    json(&found)
}

pub(super) async fn all_instances(State(app): State<Arc<App>>) -> Reply {
    let list = app.writer.read(|view| InstanceList {
        revision: view.state.revision,
        instances: view.state.registry.all().map(|it| instance(view, &app.heartbeats, it)).collect(),
        failed: view.state.runtime.services().flat_map(|(name, _)| failed(&view.state, name)).collect(),
    });
    json(&list)
}

pub(super) async fn instances(State(app): State<Arc<App>>, asked: Asked) -> Reply {
    let service = asked.service()?;
    let list = app.writer.read(|view| {
        known(&view.state, &service)?;
        let found = view.state.registry.instances(&service);
        let instances = found.map(|it| instance(view, &app.heartbeats, it)).collect();
        let failed = failed(&view.state, &service);
        Ok::<_, Refusal>(InstanceList { revision: view.state.revision, instances, failed })
    })?;
    json(&list)
}

pub(super) async fn lookup(State(app): State<Arc<App>>, asked: Asked) -> Reply {
    let service = asked.service()?;
    let list = app.writer.read(|view| {
        let found = view.state.registry.lookup(&view.state.catalog, &service)?;
        let instances = found.into_iter().map(|it| instance(view, &app.heartbeats, it)).collect();
        Ok::<_, Refusal>(InstanceList { revision: view.state.revision, instances, failed: Vec::new() })
    })?;
    json(&list)
}

pub(super) async fn register(State(app): State<Arc<App>>, asked: Asked, body: Body) -> Reply {
    let (service, actor) = (asked.service()?, asked.actor()?);
    let RegisterInstance { id, address, version, weight, metadata, ttl, sidecar } = read(body).await?;
    let metadata = Metadata::new(metadata).map_err(invalid)?;
    let registration = Registration {
        id: id.clone(),
        service: service.clone(),
        address,
        labels: Labels { version, weight, metadata },
        origin: Origin::Registered { ttl },
        sidecar: sidecar.map(Into::into),
    };
    let command = Command::Registry(registry::Command::Register(registration));
    let done = app.writer.command(actor, command).await?;
    let registered = app.writer.read(|view| {
        // As it was registered, should it have been deregistered again by now.
        let then = view.history.at(done.revision.position).and_then(|it| it.instance.clone());
        let now = || view.state.registry.instance(&view.state.catalog, &service, &id).cloned();
        then.map_or_else(now, Ok).map(|found| instance(view, &app.heartbeats, &found))
    })?;
    let token = Some(app.access.token_of(&id));
    json_with(StatusCode::CREATED, &Instance { token, ..registered })
}

pub(super) async fn deregister(State(app): State<Arc<App>>, asked: Asked) -> Reply {
    let (service, instance, actor) = (asked.service()?, asked.instance()?, asked.actor()?);
    let reason = DeregisterReason::Requested;
    let command = Command::Registry(registry::Command::Deregister { service, instance, reason });
    let revision = app.writer.command(actor, command).await?.revision;
    json(&Changed { revision })
}

pub(super) async fn heartbeat(State(app): State<Arc<App>>, asked: Asked) -> Reply {
    let (service, id) = (asked.service()?, asked.instance()?);
    app.heartbeats.beat(service.clone(), id.clone()).await?;
    let heartbeat = app.writer.read(|view| {
        let found = view.state.registry.instance(&view.state.catalog, &service, &id)?;
        let ttl = health_config(&view.state, found).and_then(|config| match config.check {
            Check::Ttl { ttl } => Some(ttl),
            Check::Http { .. } | Check::Grpc { .. } | Check::Tcp => None,
        });
        Ok::<_, Refusal>(Heartbeat { status: found.status.into(), ttl })
    })?;
    json(&heartbeat)
}

pub(super) async fn start(State(app): State<Arc<App>>, asked: Asked) -> Reply {
    run(&app, &asked, runtime::Command::StartService { service: asked.service()? }).await
}

pub(super) async fn stop(State(app): State<Arc<App>>, asked: Asked) -> Reply {
    run(&app, &asked, runtime::Command::StopService { service: asked.service()? }).await
}

pub(super) async fn scale(State(app): State<Arc<App>>, asked: Asked, body: Body) -> Reply {
    let service = asked.service()?;
    let command = match read(body).await? {
        ScaleService { replicas: Some(replicas) } => runtime::Command::ScaleService { service, replicas },
        ScaleService { replicas: None } => runtime::Command::UnscaleService { service },
    };
    run(&app, &asked, command).await
}

async fn run(app: &App, asked: &Asked, command: runtime::Command) -> Reply {
    let revision = app.writer.command(asked.actor()?, Command::Runtime(command)).await?.revision;
    json(&Changed { revision })
}

/// An instance with all that this server knows of it.
pub(super) fn instance(view: &View, heartbeats: &Heartbeats, found: &registry::Instance) -> Instance {
    let process = view.state.runtime.get(found.id()).and_then(|(_, it)| it.process);
    Instance {
        evidence: view.evidence.get(found.id()).map(Into::into),
        pid: process.map(|it| it.pid),
        last_heartbeat_at: heartbeats.last(found.id()),
        ..Instance::of(found)
    }
}

/// The replicas of a service that should run, but have no instance because their last one ended unasked.
fn failed(state: &Platform, name: &ServiceRef) -> Vec<FailedReplica> {
    let Some(service) = state.runtime.service(name) else { return Vec::new() };
    let running = service.live_by_slot();
    let wanted = state.runtime.wanted(&state.catalog, name);
    let waiting = service.slots.iter().filter(|(slot, _)| **slot <= wanted && !running.contains_key(slot));
    let replica = |(slot, how): (&u32, &runtime::Slot)| FailedReplica {
        service: name.clone(),
        slot: *slot,
        failures: how.failures,
        exit: how.exit.to_string(),
        ended_at: how.ended_at,
        restart_at: how.due_at(),
    };
    waiting.map(replica).collect()
}

/// Whether the service is declared, or has instances all the same.
pub(super) fn known(state: &Platform, service: &ServiceRef) -> Result<(), Refusal> {
    if state.registry.instances(service).next().is_some() {
        return Ok(());
    }
    state.catalog.service(service).map(drop)
}

fn names(state: &Platform) -> BTreeSet<ServiceRef> {
    let declared = state.catalog.services().map(|(name, _)| name);
    declared.chain(state.registry.services().cloned()).collect()
}

fn summary(state: &Platform, name: &ServiceRef) -> ServiceSummary {
    let declared = state.catalog.get(name);
    let managed = declared.is_some_and(|it| matches!(it.workload, Workload::Process(_)));
    let instances = || state.registry.instances(name);
    ServiceSummary {
        service: name.clone(),
        version: declared.map(|it| it.version.clone()),
        managed,
        stopped: state.runtime.service(name).is_some_and(|it| it.stopped),
        replicas: managed.then(|| state.runtime.wanted(&state.catalog, name)),
        instances: count(instances()),
        healthy: count(instances().filter(|it| it.is_callable())),
        context: declared.and_then(|it| it.context.clone()),
        team: declared.and_then(|it| it.team.clone()),
    }
}

/// How many there are; the registry holds far fewer than could not be counted.
pub(super) fn count<T>(of: impl Iterator<Item = T>) -> u32 {
    u32::try_from(of.count()).unwrap_or(u32::MAX)
}
