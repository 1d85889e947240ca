//! Output of services.

use crate::text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tenon_core::{InstanceId, Timestamp};

/// One line that an instance printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// The instance.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub instance: InstanceId,
    /// When it was printed.
    #[serde(with = "text::time")]
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Where to.
    pub stream: LogStream,
    /// The line without its line feed, invalid UTF-8 replaced.
    pub text: String,
}

/// Which of a process's two streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogStream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}
