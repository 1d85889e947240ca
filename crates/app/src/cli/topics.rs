//! What can be typed after `tenon topics`.

use clap::{Args, Subcommand};

const PUBLISH: &str = "\
Examples:
  tenon topics publish payment.completed '{\"order\": \"7\", \"amount\": \"25.00\"}' --key order-7
  tenon topics publish payment.completed '{}' --id p-81        published once, however often it is sent
  tenon topics publish audit.line --lines < log.jsonl";

/// The commands of topics.
#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// The topics, those that something was published to last first
    List(ListTopics),
    /// Publish an event
    #[command(after_help = PUBLISH)]
    Publish(Publish),
    /// Print the events of a topic as they come
    Watch(WatchTopic),
}

/// `tenon topics list`
#[derive(Debug, Args)]
pub(crate) struct ListTopics {
    /// Only topics that begin so
    pub(crate) prefix: Option<String>,
    /// The namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
}

/// `tenon topics publish`
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The topic: the type of the event
    pub(crate) topic: String,
    /// The payload: JSON, or a text
    #[arg(value_name = "DATA")]
    pub(crate) payload: Option<String>,
    /// Read payloads from standard input, an event for each line
    #[arg(long, conflicts_with_all = ["payload", "id"])]
    pub(crate) lines: bool,
    /// The key within which order is kept
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// What the event happened to
    #[arg(long, value_name = "TEXT")]
    pub(crate) subject: Option<String>,
    /// The event's id within its source, so that a repeated publication is recognised
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Where it happened
    #[arg(long, value_name = "URI", default_value = "/tenon/cli")]
    pub(crate) source: String,
    /// More about it; may be repeated
    #[arg(long = "attr", value_name = "NAME=VALUE")]
    pub(crate) attributes: Vec<String>,
    /// The namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
}

/// `tenon topics watch`
#[derive(Debug, Args)]
pub(crate) struct WatchTopic {
    /// The topic
    pub(crate) topic: String,
    /// Begin after this position or revision, 0 for the beginning; with what comes from now on, if left out
    #[arg(long, value_name = "POSITION")]
    pub(crate) from: Option<String>,
    /// The namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
}
