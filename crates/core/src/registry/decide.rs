//! What the registry permits.

use super::{Command, Event, Instance, MAX_INSTANCES, Origin, Registration, State};
use crate::catalog;
use crate::error::{Code, Refusal};
use std::time::Duration;

/// The shortest time that a heartbeat may hold.
const SHORTEST_TTL: Duration = Duration::from_secs(1);

/// Decides on a command. What would change nothing is no event.
///
/// # Errors
/// - `registry.unknown-service` and `registry.unknown-instance` for what there is not,
/// - `registry.duplicate-instance` for an id that is registered already,
/// - `registry.full` when [`MAX_INSTANCES`] are registered,
/// - `request.invalid` for a time to live below a second.
pub fn decide(state: &State, catalog: &catalog::State, command: &Command) -> Result<Vec<Event>, Refusal> {
    let event = match command {
        Command::Register(registration) => Some(register(state, catalog, registration)?),
        Command::Update { service, instance, labels } => {
            let known = state.instance(catalog, service, instance)?;
            (known.registration.labels != *labels).then(|| Event::InstanceUpdated {
                service: service.clone(),
                instance: instance.clone(),
                labels: labels.clone(),
            })
        }
        Command::Deregister { service, instance, reason } => {
            state.instance(catalog, service, instance)?;
            let (service, instance) = (service.clone(), instance.clone());
            Some(Event::InstanceDeregistered { service, instance, reason: *reason })
        }
        Command::RecordHealth { service, instance, to, evidence } => {
            let from = state.instance(catalog, service, instance)?.status;
            (from != *to).then(|| Event::InstanceHealthChanged {
                service: service.clone(),
                instance: instance.clone(),
                from,
                to: *to,
                evidence: evidence.clone(),
            })
        }
        Command::Drain { service, instance } => {
            let known = state.instance(catalog, service, instance)?;
            (!known.draining)
                .then(|| Event::InstanceDraining { service: service.clone(), instance: instance.clone() })
        }
    };
    Ok(event.into_iter().collect())
}

fn register(state: &State, catalog: &catalog::State, asked: &Registration) -> Result<Event, Refusal> {
    catalog.service(&asked.service)?;
    if let Some(known) = state.get(&asked.id) {
        return Err(duplicate(known));
    }
    if state.len() >= MAX_INSTANCES {
        let detail = format!("{MAX_INSTANCES} instances are registered, which is the most; deregister some");
        return Err(Refusal::new(Code::RegistryFull, detail));
    }
    if matches!(asked.origin, Origin::Registered { ttl: Some(ttl) } if ttl < SHORTEST_TTL) {
        let detail = format!("the time to live of {} must be at least 1 s", asked.id);
        return Err(Refusal::new(Code::RequestInvalid, detail));
    }
    Ok(Event::InstanceRegistered(asked.clone()))
}

fn duplicate(known: &Instance) -> Refusal {
    let Registration { id, service, address, .. } = &known.registration;
    let detail =
        format!("instance {id} is registered already, for {service} at {address}; choose another id");
    Refusal::new(Code::RegistryDuplicateInstance, detail)
}
