//! Services.

use super::Instance;
use crate::system::{ServiceDoc, TrafficDoc};
use crate::text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tenon_core::manifest::Version;
use tenon_core::{Revision, ServiceRef};

/// All services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceList {
    /// How far the log is folded.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub revision: Revision,
    /// By name.
    pub services: Vec<ServiceSummary>,
}

/// One service in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceSummary {
    /// Its name, `service[.namespace]`.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub service: ServiceRef,
    /// The version that the manifest states; absent if the manifest does not name the service.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub version: Option<Version>,
    /// Whether Tenon runs it.
    pub managed: bool,
    /// Whether it was stopped by hand.
    pub stopped: bool,
    /// How many replicas should run; absent if Tenon does not run it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// How many instances are registered.
    pub instances: u32,
    /// How many of them may be called.
    pub healthy: u32,
    /// The bounded context that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The team that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
}

/// One service in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceView {
    /// How far the log is folded.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub revision: Revision,
    /// It in short.
    pub summary: ServiceSummary,
    /// What the manifest says of it; absent if it names no such service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<ServiceDoc>,
    /// How calls to it are treated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficDoc>,
    /// Its instances by id.
    pub instances: Vec<Instance>,
}

/// How many replicas to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleService {
    /// How many; as many as the manifest says if null.
    pub replicas: Option<u32>,
}
