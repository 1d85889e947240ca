//! What can be typed.
//!
//! Precedence everywhere: flag, then environment (`TENON_…`), then file. Data goes to standard output, all
//! else to standard error.

mod events;
mod saga;
mod sagas;
mod subscriptions;
mod topics;
mod waits;

pub(crate) use events::{Append, Delete, EventsCommand, Forget, Read, Streams, Watch, Which};
pub(crate) use saga::VerifySaga;
pub(crate) use sagas::{
    Conformance, Decide, ListSagas, Many, OneSaga, SagaCommand, ShowSaga, StartSaga, Within,
};
pub(crate) use subscriptions::{
    CreateSubscription, ListParked, ListSubscriptions, NamedSubscription, OneParked, ParkedCommand, Pull,
    SomeParked, SubscriptionsCommand,
};
pub(crate) use topics::{ListTopics, Publish, TopicsCommand, WatchTopic};
pub(crate) use waits::Waits;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tenon_analysis::manifest;
use tenon_core::manifest::Gateway;

const EXAMPLES: &str = "\
Examples:
  tenon check                      find every mistake in ./tenon.yaml
  tenon up                         start the system that it describes
  tenon status                     what runs, in another terminal
  tenon logs -f order              follow what a service prints
  tenon config set order currency '\"EUR\"'
  tenon events read order/7        the events of a stream
  tenon explain 01989c5e-…         why a request was refused or failed

Exit codes: 0 success, 1 other failure, 2 wrong usage, 3 invalid input, 4 not found,
5 conflict, 6 unavailable, 7 denied, 8 time-out, 70 a fault of Tenon itself.";

/// One binary that runs, connects and observes services in any language.
#[derive(Debug, Parser)]
#[command(name = "tenon", version, after_help = EXAMPLES, max_term_width = 110, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The data folder [default: .tenon beside the manifest, or in the nearest folder above]
    #[arg(long, global = true, env = "TENON_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The server to talk to [default: the one that runs on the data folder]
    #[arg(long, global = true, env = "TENON_API", value_name = "URL")]
    pub(crate) api: Option<String>,
    /// How results are printed
    #[arg(short, long, global = true, env = "TENON_OUTPUT", default_value = "table", value_name = "FORMAT")]
    pub(crate) output: Format,
    /// Whether to use colour
    #[arg(long, global = true, default_value = "auto", value_name = "WHEN")]
    pub(crate) color: Color,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns, for people
    Table,
    /// JSON, for programs
    Json,
}

/// Whether to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the system that a manifest describes, or apply the manifest to the one that runs
    Up(Up),
    /// End the system that runs: drain, stop every service, then Tenon itself
    Down(Down),
    /// Find every mistake in a manifest, without running anything
    Check(Check),
    /// Print the manifest's JSON Schema, for editors
    Schema,
    /// What runs, at a glance
    Status,
    /// The services and how many instances of each are healthy
    Services,
    /// Every instance: where it is, its health, and why
    Instances(ServiceFilter),
    /// Run a service that was stopped
    Start(ServiceName),
    /// Stop every instance of a service
    Stop(ServiceName),
    /// Change how many replicas of a service run
    Scale(Scale),
    /// Read and change the configuration of services
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Append, read and watch events
    Events {
        #[command(subcommand)]
        command: EventsCommand,
    },
    /// Publish and follow events by their types
    Topics {
        #[command(subcommand)]
        command: TopicsCommand,
    },
    /// Groups of consumers that events are given to until they are acknowledged
    Subscriptions {
        #[command(subcommand)]
        command: SubscriptionsCommand,
    },
    /// Events that no consumer dealt with, however often they were given
    Parked {
        #[command(subcommand)]
        command: ParkedCommand,
    },
    /// Work over several services that is done wholly or undone wholly
    Saga {
        #[command(subcommand)]
        command: Box<SagaCommand>,
    },
    /// Look at the files of a log, check and copy them, make a log of a copy; needs no server
    Log {
        #[command(subcommand)]
        command: LogCommand,
    },
    /// Replace the data plane by a new process, of the program as it is now, without dropping a request
    Renew(Renew),
    /// What services print
    Logs(Logs),
    /// What became of a request, step by step: who answered, or why it was refused or failed
    Explain(Explain),
    /// The hops of a trace that are remembered, as a tree
    Trace(Trace),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Run only the server: log, control plane and API
    Server(Server),
    /// Run only a data plane: sidecars and gateway
    Proxy(Proxy),
    /// Run a sidecar beside a process that Tenon does not run: register it, carry its calls, show who it is
    Sidecar(Sidecar),
    /// Become a program that ends with its supervisor
    #[command(hide = true)]
    Launch(Launch),
    /// End process groups that a supervisor leaves behind
    #[command(hide = true)]
    Reap,
}

/// Where the gateway listens, instead of what manifests say.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct GatewayAt {
    /// Where the gateway listens, instead of what the manifest says; port 0 takes a free one
    #[arg(long = "gateway", id = "gateway", env = "TENON_GATEWAY", value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where it listens for plain text beside TLS, instead of what the manifest says; port 0 takes a free one
    #[arg(long = "gateway-plain", id = "gateway-plain", env = "TENON_GATEWAY_PLAIN", value_name = "ADDRESS")]
    pub(crate) plain: Option<SocketAddr>,
}

impl GatewayAt {
    /// Has a gateway listen there.
    pub(crate) fn place(self, gateway: &mut Gateway) {
        gateway.listen = self.listen.unwrap_or(gateway.listen);
        if let Some(plain) = gateway.tls.as_mut().and_then(|tls| tls.plain.as_mut()) {
            plain.listen = self.plain.unwrap_or(plain.listen);
        }
    }

    /// The options that say the same.
    pub(crate) fn arguments(self) -> Vec<String> {
        let options = [("--gateway", self.listen), ("--gateway-plain", self.plain)];
        options
            .into_iter()
            .filter_map(|(name, at)| Some([name.to_owned(), at?.to_string()]))
            .flatten()
            .collect()
    }
}

/// `tenon up`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tenon up\n  tenon up -f shop/tenon.yaml --gateway 0.0.0.0:80\n  tenon up --detach && tenon status"
)]
pub(crate) struct Up {
    /// The manifest
    #[arg(short, long, env = "TENON_FILE", default_value = "tenon.yaml", value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Return once everything is healthy, and leave the system running
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Where the API listens; port 0 takes a free one
    #[arg(long, env = "TENON_API_LISTEN", default_value = "127.0.0.1:7420", value_name = "ADDRESS")]
    pub(crate) api_listen: SocketAddr,
    /// A name, besides those that mean this machine, that the API answers to; may be repeated
    #[arg(long, env = "TENON_API_HOST", value_delimiter = ',', value_name = "NAME")]
    pub(crate) api_host: Vec<String>,
    /// Where the data plane answers for metrics and explanations; port 0 takes a free one
    #[arg(long, env = "TENON_ADMIN_LISTEN", default_value = "127.0.0.1:7421", value_name = "ADDRESS")]
    pub(crate) admin_listen: SocketAddr,
    #[command(flatten)]
    pub(crate) gateway: GatewayAt,
    #[command(flatten)]
    pub(crate) log: LogChoice,
    /// How long to wait for every service to be healthy, in seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) wait: u64,
}

/// `tenon down`
#[derive(Debug, Args)]
pub(crate) struct Down {
    /// How long to wait for the end, in seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) wait: u64,
}

/// `tenon check`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tenon check\n  tenon check --strict shop/tenon.yaml\n  tenon check -o json | jq '.problems[].code'"
)]
pub(crate) struct Check {
    /// The manifest
    #[arg(default_value = "tenon.yaml", value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Treat warnings as errors
    #[arg(long)]
    pub(crate) strict: bool,
}

/// A filter by service.
#[derive(Debug, Args)]
pub(crate) struct ServiceFilter {
    /// Only this service, `service[.namespace]`
    #[arg(value_name = "SERVICE")]
    pub(crate) service: Option<String>,
}

/// One service.
#[derive(Debug, Args)]
pub(crate) struct ServiceName {
    /// The service, `service[.namespace]`
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
}

/// `tenon scale`
#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// The service, `service[.namespace]`
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
    /// How many replicas; as many as the manifest says if not given
    #[arg(value_name = "N")]
    pub(crate) replicas: Option<u32>,
}

/// `tenon config …`
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  tenon config get recommendation limit\n  tenon config set recommendation limit 5\n  tenon config history recommendation\n  tenon config rollback recommendation REVISION\n  tenon config watch recommendation"
)]
pub(crate) enum ConfigCommand {
    /// Print one value, or all of a service
    Get {
        /// The service
        service: String,
        /// The key
        key: Option<String>,
    },
    /// Set a value (JSON; text that is no JSON is taken as a string)
    Set {
        /// The service
        service: String,
        /// The key
        key: String,
        /// The value
        #[arg(allow_negative_numbers = true)]
        value: String,
        /// Only if the key is still at this revision
        #[arg(long, value_name = "REVISION")]
        if_revision: Option<String>,
    },
    /// Remove a key
    Unset {
        /// The service
        service: String,
        /// The key
        key: String,
    },
    /// Every change so far, the newest first
    History {
        /// The service
        service: String,
    },
    /// What differs between two revisions
    Diff {
        /// The service
        service: String,
        /// The earlier revision
        from: String,
        /// The later one; now if not given
        to: Option<String>,
    },
    /// Go back to what held at a revision
    Rollback {
        /// The service
        service: String,
        /// The revision
        revision: String,
    },
    /// Print every change as it happens, old and new
    Watch {
        /// The service
        service: String,
    },
}

/// `tenon log …`
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  tenon log verify\n  tenon log dump --after 1000 --limit 10\n  tenon log backup /mnt/backup/shop\n  tenon log restore /mnt/backup/shop .tenon/log\n\nAll but `restore` may be used while the log is in use."
)]
pub(crate) enum LogCommand {
    /// How many segments there are, and how large they are
    Stat(LogFolder),
    /// Read everything and name what is damaged
    Verify(LogFolder),
    /// Print events, each as JSON on a line
    Dump {
        #[command(flatten)]
        folder: LogFolder,
        /// Only events after this position
        #[arg(long, default_value_t = 0, value_name = "POSITION")]
        after: u64,
        /// At most so many
        #[arg(long, default_value_t = u64::MAX, hide_default_value = true, value_name = "N")]
        limit: u64,
        /// Only events of this stream
        #[arg(long, value_name = "STREAM")]
        stream: Option<String>,
    },
    /// Copy the log to a folder, or bring the copy there up to date
    Backup {
        #[command(flatten)]
        folder: LogFolder,
        /// The folder of the copy
        #[arg(value_name = "TARGET")]
        target: PathBuf,
    },
    /// Copy a whole log that nobody uses from a folder to a PostgreSQL database, or back: id, positions, ids and times stay
    Migrate {
        /// Where it is: a folder, or postgres://…
        #[arg(value_name = "SOURCE")]
        source: String,
        /// Where it goes: a folder, or postgres://…; there must be no log yet
        #[arg(value_name = "TARGET")]
        target: String,
    },
    /// Make a log of a copy
    Restore {
        /// The folder of the copy
        #[arg(value_name = "SOURCE")]
        source: PathBuf,
        /// The folder of the new log
        #[arg(value_name = "TARGET")]
        target: PathBuf,
        /// Keep the log's id. Only if the copy holds all that was ever read of the log: who read more would take what
        /// comes in its place for known
        #[arg(long)]
        same_id: bool,
    },
}

/// Which log.
#[derive(Debug, Args)]
pub(crate) struct LogFolder {
    /// The folder of the log [default: the data folder's]
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}

/// `tenon renew`
#[derive(Debug, Args)]
pub(crate) struct Renew {
    /// How long to wait until the new process serves, in seconds
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    pub(crate) wait: u64,
}

/// `tenon logs`
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The service, `service[.namespace]`
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
    /// Go on printing what comes
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How many lines of each instance to begin with
    #[arg(short = 'n', long, default_value_t = 100, value_name = "N")]
    pub(crate) tail: u32,
}

/// `tenon explain`
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The request's id, from the `x-request-id` header of its answer
    #[arg(value_name = "REQUEST-ID")]
    pub(crate) request: String,
    /// The data plane to ask [default: the one that runs on the data folder]
    #[arg(long, env = "TENON_ADMIN", value_name = "URL")]
    pub(crate) admin: Option<String>,
}

/// `tenon trace`
#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// The trace's id, 32 hexadecimal digits as in a `traceparent` header, or the id of one of its requests
    #[arg(value_name = "TRACE-ID")]
    pub(crate) trace: String,
    /// The data plane to ask [default: the one that runs on the data folder]
    #[arg(long, env = "TENON_ADMIN", value_name = "URL")]
    pub(crate) admin: Option<String>,
}

/// `tenon server`
#[derive(Debug, Args)]
pub(crate) struct Server {
    /// Where the API listens
    #[arg(long, env = "TENON_API_LISTEN", default_value = "127.0.0.1:7420", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// A name, besides those that mean this machine, that the API answers to; may be repeated
    #[arg(long, env = "TENON_API_HOST", value_delimiter = ',', value_name = "NAME")]
    pub(crate) api_host: Vec<String>,
    #[command(flatten)]
    pub(crate) gateway: GatewayAt,
    #[command(flatten)]
    pub(crate) log: LogChoice,
    /// The supervisor's socket; without one no processes are run
    #[arg(long, value_name = "PATH")]
    pub(crate) supervisor: Option<PathBuf>,
}

/// Which log a server works on.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogChoice {
    /// A PostgreSQL database that keeps the log, instead of the data folder. A URL with a password belongs into the
    /// environment (TENON_LOG_URL) or a file: everybody sees what a process was started with
    #[arg(long = "log", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// A file that holds the URL, if --log does not
    #[arg(long = "log-file", env = "TENON_LOG_FILE", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) keep: Keep,
}

/// How the log in the data folder is kept. Without --keep-for and --keep-size all of users' events are; Tenon's own are in
/// any case.
#[derive(Debug, Default, Clone, Copy, Args)]
pub(crate) struct Keep {
    /// Forget users' events that are older, such as 720h [default: keep them]
    #[arg(long = "keep-for", env = "TENON_KEEP_FOR", value_name = "DURATION", value_parser = span)]
    pub(crate) age: Option<Duration>,
    /// Forget the oldest when the log has more bytes, such as 10Gi [default: keep them]
    #[arg(long = "keep-size", env = "TENON_KEEP_SIZE", value_name = "BYTES", value_parser = bytes)]
    pub(crate) size: Option<u64>,
    /// Compress what of the log is written no more (LZ4): less space for reads that take longer
    #[arg(long = "compress-log", env = "TENON_COMPRESS_LOG")]
    pub(crate) compress: bool,
}

impl Keep {
    /// The options that say the same.
    pub(crate) fn arguments(self) -> Vec<String> {
        let age = self.age.map(|age| ["--keep-for".to_owned(), manifest::shortest(age)]);
        let size = self.size.map(|size| ["--keep-size".to_owned(), size.to_string()]);
        let compress = self.compress.then(|| "--compress-log".to_owned());
        age.into_iter().chain(size).flatten().chain(compress).collect()
    }
}

fn span(text: &str) -> Result<Duration, String> {
    let expected = || "expected a duration such as 720h or 1h30m".to_owned();
    manifest::duration(text).filter(|span| !span.is_zero()).ok_or_else(expected)
}

fn bytes(text: &str) -> Result<u64, String> {
    manifest::memory_bytes(text).ok_or_else(|| "expected a number of bytes such as 10Gi or 500M".to_owned())
}

/// `tenon proxy`
#[derive(Debug, Args)]
pub(crate) struct Proxy {
    /// Where metrics and explanations are served
    #[arg(long, env = "TENON_ADMIN_LISTEN", default_value = "127.0.0.1:7421", value_name = "ADDRESS")]
    pub(crate) admin_listen: SocketAddr,
    /// Worker threads [default: one for each core]
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<usize>,
    /// Take over from the data plane that runs on the data folder, if one does
    #[arg(long)]
    pub(crate) takeover: bool,
    /// The region that this data plane is in, to prefer instances of the same (by their metadata `region`)
    #[arg(long, env = "TENON_REGION", value_name = "NAME")]
    pub(crate) region: Option<String>,
    /// The zone of the region, likewise (`zone`)
    #[arg(long, env = "TENON_ZONE", value_name = "NAME")]
    pub(crate) zone: Option<String>,
    #[command(flatten)]
    pub(crate) waits: Waits,
}

/// `tenon sidecar`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tenon sidecar --api http://10.0.0.1:7420 --token-file token --inbound 10.0.0.7:0 payment 127.0.0.1:9000\n\nThe API's server must be started with --api-host for names other than its own loopback address."
)]
pub(crate) struct Sidecar {
    /// The service that the process is an instance of, `service[.namespace]`
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
    /// Where the process listens
    #[arg(value_name = "ADDRESS")]
    pub(crate) application: String,
    /// The instance's id [default: the service's name and a random end]
    #[arg(long, value_name = "ID")]
    pub(crate) instance: Option<String>,
    /// Where calls from other processes come in; others reach it at this address. Port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub(crate) inbound: SocketAddr,
    /// Where the process' own calls come in, which is its HTTP_PROXY; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub(crate) outbound: SocketAddr,
    /// The file that holds the API's token [default: the data folder's]
    #[arg(long, env = "TENON_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// A folder for what the sidecar keeps: its last snapshot and its certificate
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Where metrics and explanations are served; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub(crate) admin_listen: SocketAddr,
    /// Worker threads
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) workers: usize,
    #[command(flatten)]
    pub(crate) waits: Waits,
}

/// The hidden command that children are started by.
#[derive(Debug, Args)]
pub(crate) struct Launch {
    /// The supervisor's process id
    pub(crate) parent: u32,
    /// The program and its arguments
    #[arg(last = true, required = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[cfg(test)]
mod tests;
