//! What the HTTP API is asked and answers, as JSON.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
