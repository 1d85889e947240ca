//! What can be typed after `tenon events`.

use clap::{Args, Subcommand};

const APPEND: &str = "\
Examples:
  tenon events append order/7 shop.OrderPlaced.v1 '{\"total\": \"25.00\"}' --tag customer:ada
  tenon events append order/7 shop.OrderPaid.v1 --expect 01a1fc47-…@41
  tenon events append order/8 shop.OrderPlaced.v1 '{}' --expect none
  tenon events append audit app.LineRead.v1 --lines < log.jsonl";

const READ: &str = "\
Examples:
  tenon events read order/7
  tenon events read --prefix order/ --type shop.OrderPaid.v1 --backward -n 10
  tenon events read order/7 --at 2026-11-21T12:00:00Z      the stream as it was then";

const WATCH: &str = "\
Examples:
  tenon events watch                                       whatever comes from now on
  tenon events watch order/7 --from 0                      all of a stream, then what comes
  tenon events watch --prefix order/ -o json | jq .data";

const DELETE: &str = "\
Examples:
  tenon events delete order/7
  tenon events delete order/7 --expect 01a1fc47-…@41       only if nothing was appended since";

/// The event store's commands.
#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Append an event to a stream
    #[command(after_help = APPEND)]
    Append(Append),
    /// Print the events of a stream or of all streams, now or as of a time
    #[command(after_help = READ)]
    Read(Read),
    /// Print events as they come
    #[command(after_help = WATCH)]
    Watch(Watch),
    /// The streams, those that changed last first
    Streams(Streams),
    /// Delete a stream: its events are read no more; appending to it opens it again
    #[command(after_help = DELETE)]
    Delete(Delete),
    /// Forget a subject, for good: destroy its key, so that no payload about it can be read any more
    Forget(Forget),
}

/// `tenon events append`
#[derive(Debug, Args)]
pub(crate) struct Append {
    /// The stream
    pub(crate) stream: String,
    /// The type with its version
    #[arg(value_name = "TYPE")]
    pub(crate) event_type: String,
    /// The payload: JSON, or a text
    #[arg(value_name = "DATA")]
    pub(crate) payload: Option<String>,
    /// Read payloads from standard input, an event for each line
    #[arg(long, conflicts_with_all = ["payload", "id"])]
    pub(crate) lines: bool,
    /// The namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// What the event is about; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// More about it; may be repeated
    #[arg(long = "meta", value_name = "NAME=VALUE")]
    pub(crate) metadata: Vec<String>,
    /// Whom the payload is about: it is encrypted under this subject's own key, until the subject is forgotten
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) subject: Option<String>,
    /// The event's id (UUIDv7), so that a repeated append is recognised
    #[arg(long, value_name = "UUID")]
    pub(crate) id: Option<String>,
    /// Append only if the stream is as expected: `none`, `exists`, or its last revision
    #[arg(long, value_name = "VERSION")]
    pub(crate) expect: Option<String>,
}

/// `tenon events delete`
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The stream
    pub(crate) stream: String,
    /// The namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Delete only if this is its last revision; whatever it holds, without
    #[arg(long, value_name = "VERSION")]
    pub(crate) expect: Option<String>,
}

/// `tenon events forget`
#[derive(Debug, Args)]
pub(crate) struct Forget {
    /// The subject, as events were appended with it
    pub(crate) subject: String,
    /// The namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
}

/// Which events are meant.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Only this stream
    pub(crate) stream: Option<String>,
    /// The namespace; `*` for all
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Only streams that begin so
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    /// Only events of this type; may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) types: Vec<String>,
    /// Only events with this tag; may be repeated, and all must be there
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// Begin after this position or revision (before it, with --backward)
    #[arg(long, value_name = "POSITION")]
    pub(crate) from: Option<String>,
}

/// `tenon events read`
#[derive(Debug, Args)]
pub(crate) struct Read {
    #[command(flatten)]
    pub(crate) which: Which,
    /// The newest first
    #[arg(long)]
    pub(crate) backward: bool,
    /// The most events
    #[arg(short = 'n', long, default_value_t = 100, value_name = "N")]
    pub(crate) limit: u64,
    /// The past as it was then: a time (RFC 3339), a revision, or a position
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
}

/// `tenon events watch`
#[derive(Debug, Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) which: Which,
}

/// `tenon events streams`
#[derive(Debug, Args)]
pub(crate) struct Streams {
    /// Only streams that begin so
    pub(crate) prefix: Option<String>,
    /// The namespace; `*` for all
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// The most streams
    #[arg(short = 'n', long, default_value_t = 100, value_name = "N")]
    pub(crate) limit: u64,
}
