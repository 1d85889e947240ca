//! Services.

use super::{filled, within};
use crate::InvalidMessage;
use crate::invalid::{Checked, each, parsed};
use crate::mirror::mirror;
use crate::text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tenon_core::manifest::{
    DataStore, Direction, Endpoint, Interface, MAX_REPLICAS, Process, Protocol, Resources, SecretRef,
    Service, StoreKind, Workload,
};
use tenon_core::{ServiceName, health};

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceDoc {
    /// Its version.
    pub version: String,
    /// What runs it.
    pub workload: WorkloadDoc,
    /// The bounded context that it belongs to.
    pub context: Option<String>,
    /// The team that owns it.
    pub team: Option<String>,
    /// What it offers and what it uses or emits.
    pub interfaces: Vec<InterfaceDoc>,
    /// The services that it calls.
    pub depends_on: Vec<String>,
    /// The data stores that it owns.
    pub data: Vec<DataStoreDoc>,
    /// What each replica needs.
    pub resources: ResourcesDoc,
    /// How its instances are checked.
    pub health: HealthDoc,
}

/// What runs a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WorkloadDoc {
    /// Tenon starts it.
    Process(ProcessDoc),
    /// It runs already, at these addresses.
    External(Vec<String>),
}

/// How to start a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessDoc {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where it starts, relative to the manifest's folder.
    pub working_directory: Option<String>,
    /// Additional environment.
    pub env: BTreeMap<String, String>,
    /// How many replicas run at first.
    pub replicas: u32,
}

/// A named group of endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InterfaceDoc {
    /// Its name.
    pub name: String,
    /// Which way it faces.
    pub direction: DirectionDoc,
    /// What is spoken.
    pub protocol: ProtocolDoc,
    /// Its endpoints.
    pub endpoints: Vec<EndpointDoc>,
}

mirror! {
    /// Which way an interface faces.
    DirectionDoc of Direction {
        /// Others call it.
        Input,
        /// It calls or emits.
        Output,
    }
}

mirror! {
    /// What an interface speaks.
    ProtocolDoc of Protocol {
        /// HTTP.
        Http,
        /// gRPC.
        Grpc,
        /// A message queue.
        MessageQueue,
        /// A stream of events.
        EventStream,
    }
}

/// One thing that can be called or sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointDoc {
    /// The path, with `{name}` for one variable segment and a last `{name...}` for all the rest.
    pub path: String,
    /// The method; any if null.
    pub method: Option<String>,
    /// A reference to a JSON Schema of the payload.
    pub schema: Option<String>,
}

/// A store that a service owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DataStoreDoc {
    /// Its name.
    pub name: String,
    /// What it is: `postgresql`, `mongodb`, `redis`, `elasticsearch`, `sqlite`, `file`, or what else was written.
    #[serde(rename = "type")]
    pub kind: String,
    /// The variable of the supervisor's environment that holds its connection string.
    pub connection: Option<String>,
    /// The entities that it holds.
    pub entities: Vec<String>,
}

/// What one replica needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResourcesDoc {
    /// Thousandths of a core.
    pub cpu_millis: u32,
    /// Bytes.
    pub memory_bytes: u64,
}

/// How an instance is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthDoc {
    /// What is asked.
    pub check: CheckDoc,
    /// How long from one check to the next.
    pub interval_ms: u64,
    /// How long an answer may take.
    pub timeout_ms: u64,
    /// Consecutive failures that make a healthy instance unhealthy.
    pub unhealthy_threshold: u32,
    /// Consecutive successes that make an unhealthy instance healthy again.
    pub healthy_threshold: u32,
    /// How long an instance may stay unhealthy before it is deregistered; never if null.
    pub deregister_after_ms: Option<u64>,
    /// How long until a turn for the worse counts half, by which an instance that flaps is held back; 60,000 if null, never
    /// if 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damping_ms: Option<u64>,
}

/// What holds where nothing is said of damping. Logs hold such documents, so this never changes.
const DAMPING: Duration = Duration::from_secs(60);

/// What a check asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckDoc {
    /// `GET path`; any 2xx status is healthy.
    Http {
        /// The path with its query.
        path: String,
    },
    /// `grpc.health.v1.Health/Check`; `SERVING` is healthy.
    Grpc {
        /// The service asked about; empty for the whole server.
        service: String,
    },
    /// A TCP connection.
    Tcp,
    /// Heartbeats.
    Ttl {
        /// How long a heartbeat holds.
        ttl_ms: u64,
    },
}

impl From<&Service> for ServiceDoc {
    fn from(service: &Service) -> Self {
        Self {
            version: service.version.to_string(),
            workload: (&service.workload).into(),
            context: service.context.clone(),
            team: service.team.clone(),
            interfaces: service.interfaces.iter().map(Into::into).collect(),
            depends_on: service.depends_on.iter().map(ToString::to_string).collect(),
            data: service.data.iter().map(Into::into).collect(),
            resources: ResourcesDoc {
                cpu_millis: service.resources.cpu_millis,
                memory_bytes: service.resources.memory_bytes,
            },
            health: (&service.health).into(),
        }
    }
}

impl ServiceDoc {
    pub(super) fn to_service(&self, name: ServiceName) -> Checked<Service> {
        let interfaces = each("interfaces", &self.interfaces, Interface::try_from)?;
        Ok(Service {
            name,
            version: parsed("version", &self.version)?,
            workload: (&self.workload)
                .try_into()
                .map_err(|error: InvalidMessage| error.within("workload"))?,
            context: self.context.clone(),
            team: self.team.clone(),
            interfaces: filled("interfaces", interfaces)?,
            depends_on: each("depends_on", &self.depends_on, |name| parsed("", name))?,
            data: self.data.iter().map(Into::into).collect(),
            resources: Resources {
                cpu_millis: within("resources.cpu_millis", self.resources.cpu_millis, 1..=u32::MAX)?,
                memory_bytes: within("resources.memory_bytes", self.resources.memory_bytes, 1..=u64::MAX)?,
            },
            health: (&self.health).into(),
        })
    }
}

impl From<&Workload> for WorkloadDoc {
    fn from(workload: &Workload) -> Self {
        match workload {
            Workload::Process(process) => Self::Process(ProcessDoc {
                command: process.command.clone(),
                working_directory: process.working_directory.clone(),
                env: process.env.clone(),
                replicas: process.replicas,
            }),
            Workload::External(addresses) => {
                Self::External(addresses.iter().map(ToString::to_string).collect())
            }
        }
    }
}

impl TryFrom<&WorkloadDoc> for Workload {
    type Error = InvalidMessage;
    fn try_from(doc: &WorkloadDoc) -> Checked<Self> {
        match doc {
            WorkloadDoc::Process(doc) => Ok(Self::Process(Process {
                command: filled("command", doc.command.clone())?,
                working_directory: doc.working_directory.clone(),
                env: doc.env.clone(),
                replicas: within("replicas", doc.replicas, 0..=MAX_REPLICAS)?,
            })),
            WorkloadDoc::External(addresses) => {
                let addresses = each("external", addresses, |address| parsed("", address))?;
                Ok(Self::External(filled("external", addresses)?))
            }
        }
    }
}

impl From<&Interface> for InterfaceDoc {
    fn from(interface: &Interface) -> Self {
        Self {
            name: interface.name.clone(),
            direction: interface.direction.into(),
            protocol: interface.protocol.into(),
            endpoints: interface.endpoints.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<&InterfaceDoc> for Interface {
    type Error = InvalidMessage;
    fn try_from(doc: &InterfaceDoc) -> Checked<Self> {
        let endpoints = each("endpoints", &doc.endpoints, Endpoint::try_from)?;
        Ok(Self {
            name: doc.name.clone(),
            direction: doc.direction.into(),
            protocol: doc.protocol.into(),
            endpoints: filled("endpoints", endpoints)?,
        })
    }
}

impl From<&Endpoint> for EndpointDoc {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            path: endpoint.path.to_string(),
            method: endpoint.method.as_ref().map(ToString::to_string),
            schema: endpoint.schema.clone(),
        }
    }
}

impl TryFrom<&EndpointDoc> for Endpoint {
    type Error = InvalidMessage;
    fn try_from(doc: &EndpointDoc) -> Checked<Self> {
        Ok(Self {
            path: parsed("path", &doc.path)?,
            method: doc.method.as_ref().map(|method| parsed("method", method)).transpose()?,
            schema: doc.schema.clone(),
        })
    }
}

impl From<&DataStore> for DataStoreDoc {
    fn from(store: &DataStore) -> Self {
        Self {
            name: store.name.clone(),
            kind: kind_text(&store.kind).to_owned(),
            connection: store.connection.as_ref().map(|secret| secret.0.clone()),
            entities: store.entities.clone(),
        }
    }
}

impl From<&DataStoreDoc> for DataStore {
    fn from(doc: &DataStoreDoc) -> Self {
        Self {
            name: doc.name.clone(),
            kind: kind_of(&doc.kind),
            connection: doc.connection.clone().map(SecretRef),
            entities: doc.entities.clone(),
        }
    }
}

fn kind_text(kind: &StoreKind) -> &str {
    match kind {
        StoreKind::PostgreSql => "postgresql",
        StoreKind::MongoDb => "mongodb",
        StoreKind::Redis => "redis",
        StoreKind::Elasticsearch => "elasticsearch",
        StoreKind::Sqlite => "sqlite",
        StoreKind::File => "file",
        StoreKind::Other(text) => text,
    }
}

fn kind_of(text: &str) -> StoreKind {
    match text {
        "postgresql" => StoreKind::PostgreSql,
        "mongodb" => StoreKind::MongoDb,
        "redis" => StoreKind::Redis,
        "elasticsearch" => StoreKind::Elasticsearch,
        "sqlite" => StoreKind::Sqlite,
        "file" => StoreKind::File,
        other => StoreKind::Other(other.to_owned()),
    }
}

impl From<&health::Config> for HealthDoc {
    fn from(config: &health::Config) -> Self {
        Self {
            check: (&config.check).into(),
            interval_ms: text::millis::round_up(config.interval),
            timeout_ms: text::millis::round_up(config.timeout),
            unhealthy_threshold: config.unhealthy_threshold,
            healthy_threshold: config.healthy_threshold,
            deregister_after_ms: config.deregister_after.map(text::millis::round_up),
            damping_ms: Some(config.damping).filter(|it| *it != DAMPING).map(text::millis::round_up),
        }
    }
}

impl From<&HealthDoc> for health::Config {
    fn from(doc: &HealthDoc) -> Self {
        Self {
            check: (&doc.check).into(),
            interval: Duration::from_millis(doc.interval_ms),
            timeout: Duration::from_millis(doc.timeout_ms),
            unhealthy_threshold: doc.unhealthy_threshold,
            healthy_threshold: doc.healthy_threshold,
            deregister_after: doc.deregister_after_ms.map(Duration::from_millis),
            damping: doc.damping_ms.map_or(DAMPING, Duration::from_millis),
        }
    }
}

impl From<&health::Check> for CheckDoc {
    fn from(check: &health::Check) -> Self {
        match check {
            health::Check::Http { path } => Self::Http { path: path.clone() },
            health::Check::Grpc { service } => Self::Grpc { service: service.clone() },
            health::Check::Tcp => Self::Tcp,
            health::Check::Ttl { ttl } => Self::Ttl { ttl_ms: text::millis::round_up(*ttl) },
        }
    }
}

impl From<&CheckDoc> for health::Check {
    fn from(doc: &CheckDoc) -> Self {
        match doc {
            CheckDoc::Http { path } => Self::Http { path: path.clone() },
            CheckDoc::Grpc { service } => Self::Grpc { service: service.clone() },
            CheckDoc::Tcp => Self::Tcp,
            CheckDoc::Ttl { ttl_ms } => Self::Ttl { ttl: Duration::from_millis(*ttl_ms) },
        }
    }
}
