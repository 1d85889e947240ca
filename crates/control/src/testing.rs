//! What the tests share: systems, and a writer on a log in memory.

use crate::clock::Clock;
use crate::writer::{self, Done, Handle, View};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tenon_core::catalog::{self, Applied};
use tenon_core::health::{self, Check, Evidence, Status};
use tenon_core::manifest::{
    ConfigEntry, ConfigKey, Direction, Egress, Endpoint, Interface, PathPattern, Process, Protocol,
    Resources, Service, System, TrafficRules, Version, Workload,
};
use tenon_core::platform::Command;
use tenon_core::registry::{self, Labels, Origin, Registration};
use tenon_core::{Actor, Address, InstanceId, Namespace, Refusal, ServiceName, ServiceRef};
use tenon_store::{Log, MemoryLog};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longer than anything takes that works; a test that waits so long has failed.
pub(crate) const LONG: Duration = Duration::from_secs(120);

pub(crate) fn service_ref(text: &str) -> ServiceRef {
    text.parse().unwrap()
}

pub(crate) fn id(text: &str) -> InstanceId {
    InstanceId::new(text).unwrap()
}

pub(crate) fn key(text: &str) -> ConfigKey {
    ConfigKey::new(text).unwrap()
}

pub(crate) fn actor(text: &str) -> Actor {
    Actor::new(text).unwrap()
}

pub(crate) fn json(text: &str) -> tenon_core::config::Value {
    tenon_api::value::to_core(&serde_json::from_str(text).unwrap()).unwrap()
}

/// A system of these services.
pub(crate) fn system(services: impl IntoIterator<Item = Service>) -> System {
    System {
        name: ServiceName::new("test").unwrap(),
        namespace: Namespace::default(),
        services: services.into_iter().map(|service| (service.name.clone(), service)).collect(),
        traffic: TrafficRules::default(),
        policies: Default::default(),
        gateway: None,
        egress: Egress::Deny,
        telemetry: Default::default(),
        mesh: Default::default(),
        subscriptions: BTreeMap::new(),
        sagas: BTreeMap::new(),
        config: BTreeMap::new(),
    }
}

/// The system with a first value, and maybe a schema, for a key.
pub(crate) fn with_config(
    mut system: System,
    service: &str,
    name: &str,
    value: &str,
    schema: Option<&str>,
) -> System {
    let entry = ConfigEntry { value: json(value), schema: schema.map(json) };
    system.config.entry(ServiceName::new(service).unwrap()).or_default().insert(key(name), entry);
    system
}

/// A service that runs elsewhere, at these addresses, checked by TCP every 20 ms.
pub(crate) fn external(name: &str, addresses: &[Address]) -> Service {
    service(name, Workload::External(addresses.to_vec()))
}

/// A service of which Tenon runs nothing, for instances that register themselves.
pub(crate) fn bare(name: &str) -> Service {
    managed(name, 0)
}

/// A service that Tenon runs with so many replicas.
pub(crate) fn managed(name: &str, replicas: u32) -> Service {
    let command = vec!["run".to_owned(), name.to_owned()];
    let env = BTreeMap::from([("COLOUR".to_owned(), "red".to_owned())]);
    service(name, Workload::Process(Process { command, working_directory: None, env, replicas }))
}

fn service(name: &str, workload: Workload) -> Service {
    let endpoint = Endpoint { path: PathPattern::new("/{rest...}").unwrap(), method: None, schema: None };
    let interface = Interface {
        name: "api".into(),
        direction: Direction::Input,
        protocol: Protocol::Http,
        endpoints: vec![endpoint],
    };
    Service {
        name: ServiceName::new(name).unwrap(),
        version: Version::default(),
        workload,
        context: None,
        team: None,
        interfaces: vec![interface],
        depends_on: BTreeSet::new(),
        data: Vec::new(),
        resources: Resources::default(),
        health: health::Config {
            check: Check::Tcp,
            interval: Duration::from_millis(20),
            timeout: Duration::from_secs(5),
            ..health::Config::default()
        },
    }
}

/// Another manifest.
pub(crate) fn apply(system: System) -> Command {
    let text = format!("name: {}\n# {}", system.name, system.services.len());
    Command::Catalog(catalog::Command::Apply(Applied { system: Arc::new(system), text: text.into() }))
}

/// An instance that registers itself.
pub(crate) fn registration(service: &str, name: &str, address: &str, ttl: Option<Duration>) -> Registration {
    Registration {
        id: id(name),
        service: service_ref(service),
        address: address.parse().unwrap(),
        labels: Labels::default(),
        origin: Origin::Registered { ttl },
        sidecar: None,
    }
}

pub(crate) fn register(service: &str, name: &str) -> Command {
    let registration = registration(service, name, "127.0.0.1:1", None);
    Command::Registry(registry::Command::Register(registration))
}

pub(crate) fn record_health(service: &str, name: &str, to: Status) -> Command {
    let evidence = Evidence::new("test", "said so", Duration::ZERO);
    let (service, instance) = (service_ref(service), id(name));
    Command::Registry(registry::Command::RecordHealth { service, instance, to, evidence })
}

/// A writer on a log in memory. Ends with this value.
pub(crate) struct Fixture {
    pub(crate) log: MemoryLog,
    pub(crate) clock: Clock,
    pub(crate) writer: Handle,
    pub(crate) stop: CancellationToken,
    _guard: DropGuard,
}

impl Fixture {
    /// On an empty log.
    pub(crate) async fn new() -> Self {
        Self::on(MemoryLog::default()).await
    }

    /// As a restarted server: on a log that others may have written to.
    pub(crate) async fn on(log: MemoryLog) -> Self {
        let (clock, stop) = (Clock::start(), CancellationToken::new());
        let port: Arc<dyn Log> = log.clone().into_log();
        let (writer, _) = writer::start(port, clock.clone(), stop.clone()).await.unwrap();
        Self { log, clock, writer, _guard: stop.clone().drop_guard(), stop }
    }

    /// With a system applied.
    pub(crate) async fn with(system: System) -> Self {
        let fixture = Self::new().await;
        fixture.run(apply(system)).await;
        fixture
    }

    /// Runs a command that is expected to succeed.
    pub(crate) async fn run(&self, command: Command) -> Done {
        self.try_run(command).await.unwrap()
    }

    pub(crate) async fn try_run(&self, command: Command) -> Result<Done, Refusal> {
        self.writer.command(actor("test"), command).await
    }

    /// Waits until the state is so.
    pub(crate) async fn until(&self, is_so: impl FnMut(&View) -> bool) {
        until(&self.writer, is_so).await;
    }

    /// The status of an instance, if it is registered.
    pub(crate) fn status(&self, name: &str) -> Option<Status> {
        self.writer.read(|view| view.state.registry.get(&id(name)).map(|it| it.status))
    }
}

/// Waits until the state is so.
pub(crate) async fn until(writer: &Handle, mut is_so: impl FnMut(&View) -> bool) {
    let mut folded = writer.folded();
    let waiting = async {
        while !writer.read(&mut is_so) {
            folded.changed().await.unwrap();
        }
    };
    tokio::time::timeout(LONG, waiting).await.expect("the state never became so");
}
