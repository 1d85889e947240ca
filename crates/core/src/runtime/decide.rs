//! What the runtime permits.

use super::plan::plan_service;
use super::{Action, Command, Event, Instance, Plan, Ports, SpecHash, State, StopReason, spec_hash};
use crate::error::{Code, Refusal};
use crate::id::{InstanceId, ServiceRef};
use crate::manifest::MAX_REPLICAS;
use crate::time::Timestamp;
use crate::{catalog, registry};

/// Decides on a command. What would change nothing is no event. Starting and stopping instances is permitted only
/// as the present plan has it, so that a shell with an outdated plan does no harm.
///
/// # Errors
/// - `registry.unknown-service`, `runtime.not-managed` for services that Tenon does not run,
/// - `runtime.invalid-scale` for more than [`MAX_REPLICAS`],
/// - `registry.unknown-instance` for an instance that there is not (any more),
/// - `registry.duplicate-instance` and `runtime.port-taken` for an id or a port that is in use,
/// - `runtime.plan-changed` for an action that is not wanted (any more).
pub fn decide(
    state: &State,
    catalog: &catalog::State,
    registry: &registry::State,
    command: &Command,
    now: Timestamp,
) -> Result<Vec<Event>, Refusal> {
    match command {
        Command::StartService { service } => start(state, catalog, service),
        Command::StopService { service } => stop(state, catalog, service),
        Command::ScaleService { service, replicas } => scale(state, catalog, service, Some(*replicas)),
        Command::UnscaleService { service } => scale(state, catalog, service, None),
        Command::Announce { instance, service, slot, spec, ports } => {
            let service = managed(catalog, service)?;
            let action = Action::Start { service: service.clone(), slot: *slot, spec: *spec };
            check_planned(state, catalog, registry, service, &action, now)?;
            check_new(state, registry, instance, ports)?;
            Ok(vec![starting(instance, service, *slot, *spec, *ports)])
        }
        Command::ReportStarted { instance, pid, started_at } => {
            let (service, known) = known(state, instance)?;
            let same = known.process.is_some_and(|it| it.pid == *pid && it.started_at == *started_at);
            Ok(if same { Vec::new() } else { vec![started(service, instance, *pid, *started_at)] })
        }
        Command::ReportExited { instance, exit } => {
            let (service, _) = known(state, instance)?;
            let (instance, service) = (instance.clone(), service.clone());
            Ok(vec![Event::InstanceExited { instance, service, exit: exit.clone() }])
        }
        Command::Stop { instance, reason } => {
            let (service, known) = known(state, instance)?;
            if known.stopping.is_some() {
                return Ok(Vec::new());
            }
            if *reason != StopReason::Unhealthy {
                let action = Action::Stop { instance: instance.clone(), reason: *reason };
                check_planned(state, catalog, registry, service, &action, now)?;
            }
            let (instance, service) = (instance.clone(), service.clone());
            Ok(vec![Event::InstanceStopping { instance, service, reason: *reason }])
        }
    }
}

fn start(state: &State, catalog: &catalog::State, service: &ServiceRef) -> Result<Vec<Event>, Refusal> {
    let service = managed(catalog, service)?;
    let waits = state.service(service).is_some_and(|it| it.stopped || !it.slots.is_empty());
    let event = waits.then(|| Event::ServiceStarted { service: service.clone() });
    Ok(event.into_iter().collect())
}

fn stop(state: &State, catalog: &catalog::State, service: &ServiceRef) -> Result<Vec<Event>, Refusal> {
    let service = managed(catalog, service)?;
    let stopped = state.service(service).is_some_and(|it| it.stopped);
    let event = (!stopped).then(|| Event::ServiceStopped { service: service.clone() });
    Ok(event.into_iter().collect())
}

fn scale(
    state: &State,
    catalog: &catalog::State,
    service: &ServiceRef,
    replicas: Option<u32>,
) -> Result<Vec<Event>, Refusal> {
    let service = managed(catalog, service)?;
    if let Some(asked) = replicas.filter(|asked| *asked > MAX_REPLICAS) {
        let detail = format!("{service} cannot have {asked} replicas; the most is {MAX_REPLICAS}");
        return Err(Refusal::new(Code::RuntimeInvalidScale, detail));
    }
    let scaled = state.service(service).and_then(|it| it.scaled);
    let event = (scaled != replicas).then(|| Event::ServiceScaled { service: service.clone(), replicas });
    Ok(event.into_iter().collect())
}

fn managed<'a>(catalog: &catalog::State, name: &'a ServiceRef) -> Result<&'a ServiceRef, Refusal> {
    if spec_hash(catalog.service(name)?).is_none() {
        let detail = format!(
            "{name} is not run by Tenon: its manifest gives addresses, not a command; start and stop it where it runs"
        );
        return Err(Refusal::new(Code::RuntimeNotManaged, detail));
    }
    Ok(name)
}

fn known<'a>(state: &'a State, id: &InstanceId) -> Result<(&'a ServiceRef, &'a Instance), Refusal> {
    state.get(id).ok_or_else(|| {
        let detail = format!("Tenon runs no instance {id}; `tenon instances` lists those that there are");
        Refusal::new(Code::RegistryUnknownInstance, detail)
    })
}

fn check_planned(
    state: &State,
    catalog: &catalog::State,
    registry: &registry::State,
    service: &ServiceRef,
    action: &Action,
    now: Timestamp,
) -> Result<(), Refusal> {
    let mut plan = Plan::default();
    plan_service(&mut plan, state, catalog, registry, service, now);
    if plan.actions.contains(action) {
        return Ok(());
    }
    let detail = format!("what is to be done for {service} changed; plan anew");
    Err(Refusal::new(Code::RuntimePlanChanged, detail))
}

fn check_new(
    state: &State,
    registry: &registry::State,
    id: &InstanceId,
    ports: &Ports,
) -> Result<(), Refusal> {
    if state.get(id).is_some() || registry.get(id).is_some() {
        let detail = format!("there is an instance {id} already; choose another id");
        return Err(Refusal::new(Code::RegistryDuplicateInstance, detail));
    }
    let used = state.used_ports();
    let [a, b, c] = ports.all();
    let taken = ports.all().into_iter().find(|port| *port == 0 || used.contains(port));
    let twice = (a == b || a == c).then_some(a).or((b == c).then_some(b));
    if let Some(port) = taken.or(twice) {
        let detail = format!("port {port} is not free; choose another one for {id}");
        return Err(Refusal::new(Code::RuntimePortTaken, detail));
    }
    Ok(())
}

fn starting(id: &InstanceId, service: &ServiceRef, slot: u32, spec: SpecHash, ports: Ports) -> Event {
    Event::InstanceStarting { instance: id.clone(), service: service.clone(), slot, spec, ports }
}

fn started(service: &ServiceRef, id: &InstanceId, pid: u32, started_at: Timestamp) -> Event {
    Event::InstanceStarted { instance: id.clone(), service: service.clone(), pid, started_at }
}
