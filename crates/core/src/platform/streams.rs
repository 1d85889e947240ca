//! Where events are recorded.

use super::Event;
use crate::id::{Namespace, ServiceRef, StreamName, Tag};
use crate::{catalog, config, registry, runtime};

/// The tag of every event of Tenon's own. A change is appended under the condition that no event with it came
/// after the position that the change was decided at.
pub const CONTROL_TAG: &str = "tenon:control";

/// The stream of an event: `$tenon/system`, `$tenon/duty`, or `$tenon/AREA/NAMESPACE/SERVICE` with the area `registry`,
/// `config` or `runtime`.
pub fn stream(event: &Event) -> StreamName {
    let text = match (area(event), service(event)) {
        (area, Some(it)) => format!("$tenon/{area}/{}/{}", it.namespace, it.name),
        (area, None) => format!("$tenon/{area}"),
    };
    StreamName::new(&text).expect("an area and two DNS labels are a stream name")
}

/// The namespace of an event: its service's, or the system's.
pub fn namespace(event: &Event) -> Namespace {
    match (event, service(event)) {
        (_, Some(it)) => it.namespace.clone(),
        (Event::Catalog(catalog::Event::ManifestApplied(applied)), None) => applied.system.namespace.clone(),
        (_, None) => Namespace::default(),
    }
}

/// The tags of an event: [`CONTROL_TAG`], and `service:NAMESPACE/SERVICE` if it concerns one.
pub fn tags(event: &Event) -> Vec<Tag> {
    let of_service = service(event).map(|it| format!("service:{}/{}", it.namespace, it.name));
    let texts = [CONTROL_TAG.to_owned()].into_iter().chain(of_service);
    texts.map(|text| Tag::new(&text).expect("a word and two DNS labels are a tag")).collect()
}

fn area(event: &Event) -> &'static str {
    match event {
        Event::Catalog(_) => "system",
        Event::Registry(_) => "registry",
        Event::Config(_) => "config",
        Event::Runtime(_) => "runtime",
        Event::Duty(_) => "duty",
    }
}

fn service(event: &Event) -> Option<&ServiceRef> {
    match event {
        Event::Catalog(_) | Event::Duty(_) => None,
        Event::Registry(event) => Some(of_registry(event)),
        Event::Config(event) => Some(of_config(event)),
        Event::Runtime(event) => Some(of_runtime(event)),
    }
}

fn of_registry(event: &registry::Event) -> &ServiceRef {
    match event {
        registry::Event::InstanceRegistered(registration) => &registration.service,
        registry::Event::InstanceUpdated { service, .. }
        | registry::Event::InstanceDeregistered { service, .. }
        | registry::Event::InstanceHealthChanged { service, .. }
        | registry::Event::InstanceDraining { service, .. } => service,
    }
}

fn of_config(event: &config::Event) -> &ServiceRef {
    match event {
        config::Event::ValueSet { service, .. } | config::Event::ValueRemoved { service, .. } => service,
    }
}

fn of_runtime(event: &runtime::Event) -> &ServiceRef {
    match event {
        runtime::Event::ServiceStarted { service }
        | runtime::Event::ServiceStopped { service }
        | runtime::Event::ServiceScaled { service, .. }
        | runtime::Event::InstanceStarting { service, .. }
        | runtime::Event::InstanceStarted { service, .. }
        | runtime::Event::InstanceStopping { service, .. }
        | runtime::Event::InstanceExited { service, .. } => service,
    }
}
