//! Configuration.

use crate::mirror::mirror;
use crate::text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tenon_core::manifest::ConfigKey;
use tenon_core::{Actor, Revision, ServiceRef, Timestamp, config};

/// All configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigList {
    /// How far the log is folded.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub revision: Revision,
    /// The services that have any, by name.
    pub services: Vec<ServiceConfig>,
}

/// The configuration of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceConfig {
    /// The service.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub service: ServiceRef,
    /// How far the log is folded.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub revision: Revision,
    /// By key.
    pub entries: Vec<ConfigEntry>,
}

/// One key's value. Over HTTP the `ETag` header has the revision too, in quotation marks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigEntry {
    /// The key.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub key: ConfigKey,
    /// Its value, any JSON.
    pub value: serde_json::Value,
    /// Where it was set.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub revision: Revision,
    /// When it was set.
    #[serde(with = "text::time")]
    #[schemars(with = "String")]
    pub set_at: Timestamp,
    /// Who set it.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub set_by: Actor,
    /// Whether that was by applying a manifest.
    pub origin: ConfigOrigin,
}

mirror! {
    /// How a value came to be.
    ConfigOrigin of config::Origin {
        /// A manifest was applied.
        Manifest,
        /// Somebody set, removed or rolled back.
        Hand,
    }
}

/// A value to set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetConfig {
    /// The value, any JSON of at most 256 KiB.
    pub value: serde_json::Value,
}

/// What a watch of a service's configuration tells: one event for each change, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigChange {
    /// The key.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub key: ConfigKey,
    /// Its value before; absent if it had none.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub old: Option<serde_json::Value>,
    /// Its value after; absent if it has none any more.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub new: Option<serde_json::Value>,
    /// Where it was recorded.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub revision: Revision,
}

/// A member that is there is a value, even if it is `null`.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(Some)
}

/// The changes to a service's configuration that the log still has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigHistory {
    /// The service.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub service: ServiceRef,
    /// The newest first.
    pub records: Vec<ConfigRecord>,
}

/// One change with who made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigRecord {
    /// What changed.
    #[serde(flatten)]
    pub change: ConfigChange,
    /// When.
    #[serde(with = "text::time")]
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// By whom.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub by: Actor,
    /// How.
    pub origin: ConfigOrigin,
}

/// What differs between two revisions of a service's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigDiff {
    /// The service.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub service: ServiceRef,
    /// The one revision.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub from: Revision,
    /// The other.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub to: Revision,
    /// The keys that differ, by name. Each change's revision is where its newer value was recorded.
    pub changes: Vec<ConfigChange>,
}

/// A revision to go back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackConfig {
    /// All keys get the values that they had at this revision.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub revision: Revision,
}
