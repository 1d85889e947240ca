//! The system as a whole.

use crate::system::SystemDoc;
use crate::text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tenon_core::saga::SagaName;
use tenon_core::{Revision, SagaId, ServiceRef, Timestamp};

/// Whether a process is up. Its status is 200 if ready and 503 if not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Liveness {
    /// Whether it can do its work yet.
    pub ready: bool,
    /// The program's version.
    pub version: String,
}

/// How the system fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The system's name; absent until a manifest is applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The program's version.
    pub version: String,
    /// When this server started.
    #[serde(with = "text::time")]
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// How far the log is folded.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub revision: Revision,
    /// How many services there are.
    pub services: u32,
    /// The services that should have instances and have none that may be called.
    #[serde(with = "text::list")]
    #[schemars(with = "Vec<String>")]
    pub unavailable: Vec<ServiceRef>,
    /// How many instances there are.
    pub instances: InstanceCounts,
    /// Where the gateway listens, `ip:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Whether it speaks TLS there.
    #[serde(default)]
    pub gateway_tls: bool,
    /// The data planes that are connected.
    pub data_planes: Vec<DataPlaneStatus>,
    /// Whether the supervisor answers, and what it runs has been compared with the log.
    pub supervisor: bool,
    /// Which server does what only one may do, where several work on one log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duties: Vec<DutyStatus>,
    /// Damage that was found in the log's files, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_damage: Vec<String>,
}

/// A duty, and the server that has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DutyStatus {
    /// What it is: `health` or `runtime`.
    pub duty: String,
    /// The server that took it last.
    pub server: String,
    /// Whether that is the server that answers.
    pub own: bool,
    /// How often it was taken.
    pub epoch: u64,
}

/// How many instances there are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceCounts {
    /// All of them.
    pub total: u32,
    /// Those that may be called.
    pub healthy: u32,
    /// Those that are unhealthy.
    pub unhealthy: u32,
    /// Those that no check has decided about yet.
    pub unknown: u32,
    /// Those that are being taken out, whatever their health.
    pub draining: u32,
}

/// A data plane as the server sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DataPlaneStatus {
    /// What it calls itself.
    pub node: String,
    /// Since when it is connected.
    #[serde(with = "text::time")]
    #[schemars(with = "String")]
    pub connected_at: Timestamp,
    /// The last revision that it was sent.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub sent: Option<Revision>,
}

/// The system that is applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SystemView {
    /// How far the log is folded.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub revision: Revision,
    /// The manifest as it was written.
    pub manifest: String,
    /// What it resolves to.
    pub system: SystemDoc,
}

/// A manifest to apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyManifest {
    /// Its text, YAML.
    pub manifest: String,
    /// The `.proto` files that it names and those that these import, by their paths relative to its folder.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// Only say what would come of it.
    #[serde(default)]
    pub dry_run: bool,
}

/// What came, or would come, of a manifest. A manifest with errors is a [`Problem`](crate::Problem) with the code
/// `manifest.invalid` and all its findings instead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApplyOutcome {
    /// How far the log is folded, this change included.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub revision: Revision,
    /// Whether it was applied; `false` after a dry run, and if it is what was applied already.
    pub applied: bool,
    /// Warnings about it.
    pub findings: Vec<Finding>,
    /// What changes, a sentence each.
    pub changes: Vec<String>,
    /// The sagas that it changes, and which of them run and stay as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sagas: Vec<ChangedSaga>,
    /// What it resolves to.
    pub system: SystemDoc,
}

/// A saga that a manifest adds, changes or removes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangedSaga {
    /// Its name.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub name: SagaName,
    /// The version with which sagas begin from now on; null if no more do.
    pub version: Option<String>,
    /// The former versions of which some run, on whichever server: those stay with them.
    pub former: Vec<FormerVersion>,
    /// Whether more may run on former versions than could be looked at.
    #[serde(default)]
    pub more: bool,
}

/// A version of a saga with which no more begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FormerVersion {
    /// The version.
    pub version: String,
    /// How many run with it.
    pub running: u64,
    /// Some of them: those that began last.
    #[serde(with = "text::list")]
    #[schemars(with = "Vec<String>")]
    pub last: Vec<SagaId>,
}

/// One thing that is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Whether the manifest cannot be applied because of it.
    pub severity: Severity,
    /// Which rule it breaks, for example `manifest.unknown-key`.
    pub rule: String,
    /// What is wrong, and what was expected.
    pub message: String,
    /// The line, counted from 1; absent if it concerns no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column in characters, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// How bad a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The manifest is refused.
    Error,
    /// The manifest is accepted, but this is likely not what was meant.
    Warning,
}
