//! What a manifest changes, in sentences.

use std::collections::BTreeSet;
use tenon_core::manifest::{Service, System, Workload};
use tenon_core::platform::Event;
use tenon_core::saga::SagaName;
use tenon_core::{ServiceName, catalog, config, registry, runtime};

/// A sentence for each change. `before` is the system that the events replace.
pub(super) fn describe(before: Option<&System>, events: &[Event]) -> Vec<String> {
    events.iter().flat_map(|event| sentences(before, event)).collect()
}

fn sentences(before: Option<&System>, event: &Event) -> Vec<String> {
    match event {
        Event::Catalog(catalog::Event::ManifestApplied(applied)) => differences(before, &applied.system),
        Event::Registry(event) => registry_sentence(event).into_iter().collect(),
        Event::Config(config::Event::ValueSet { service, key, value, .. }) => {
            vec![format!("configuration {service}/{key} becomes {}", shortened(value.as_json()))]
        }
        Event::Config(config::Event::ValueRemoved { service, key, .. }) => {
            vec![format!("configuration {service}/{key} is removed")]
        }
        Event::Runtime(runtime::Event::ServiceScaled { service, .. }) => {
            vec![format!("{service} is scaled by the manifest again")]
        }
        Event::Runtime(_) | Event::Duty(_) => Vec::new(),
    }
}

fn registry_sentence(event: &registry::Event) -> Option<String> {
    match event {
        registry::Event::InstanceRegistered(it) => {
            Some(format!("{} at {} is registered", it.service, it.address))
        }
        registry::Event::InstanceDeregistered { service, instance, .. } => {
            Some(format!("{instance} of {service} is deregistered"))
        }
        registry::Event::InstanceUpdated { service, instance, .. } => {
            Some(format!("{instance} of {service} has other labels"))
        }
        registry::Event::InstanceHealthChanged { .. } | registry::Event::InstanceDraining { .. } => None,
    }
}

fn differences(before: Option<&System>, after: &System) -> Vec<String> {
    let known = |name: &ServiceName| before.and_then(|it| it.services.get(name));
    let former = before.into_iter().flat_map(|it| it.services.keys());
    let names: BTreeSet<&ServiceName> = former.chain(after.services.keys()).collect();
    let of_service = names.into_iter().filter_map(|name| match (known(name), after.services.get(name)) {
        (None, Some(service)) => Some(format!("service {name} is added{}", how(service))),
        (Some(_), None) => Some(format!("service {name} is removed")),
        (Some(old), Some(new)) if old != new => Some(format!("service {name} is changed{}", how(new))),
        _ => None,
    });
    let mut sentences: Vec<String> = of_service.collect();
    sentences.extend(of_sagas(before, after));
    let others = [
        (before.is_none_or(|it| it.traffic != after.traffic), "how calls are treated is changed"),
        (before.map(|it| &it.gateway) != Some(&after.gateway), "the gateway is changed"),
    ];
    if before.is_some() {
        sentences.extend(others.into_iter().filter(|(is_so, _)| *is_so).map(|(_, text)| text.to_owned()));
    }
    sentences
}

fn of_sagas(before: Option<&System>, after: &System) -> Vec<String> {
    let known = |name: &SagaName| before.and_then(|it| it.sagas.get(name));
    let former = before.into_iter().flat_map(|it| it.sagas.keys());
    let names: BTreeSet<&SagaName> = former.chain(after.sagas.keys()).collect();
    let sentence = |name: &SagaName| {
        let what = match (known(name), after.sagas.get(name)) {
            (None, Some(_)) => "is added",
            (Some(_), None) => "is removed: no more of it begin, and those that run go on",
            (Some(old), Some(new)) if old != new => "is changed: those that run go on as they began",
            _ => return None,
        };
        Some(format!("saga {name} {what}"))
    };
    names.into_iter().filter_map(sentence).collect()
}

fn how(service: &Service) -> String {
    match &service.workload {
        Workload::Process(process) => {
            format!(", {} replicas of version {}", process.replicas, service.version)
        }
        Workload::External(addresses) => format!(", at {} addresses", addresses.len()),
    }
}

/// At most 80 characters: a value may be long.
fn shortened(text: &str) -> String {
    if text.chars().count() <= 80 { text.to_owned() } else { text.chars().take(79).chain(['…']).collect() }
}
