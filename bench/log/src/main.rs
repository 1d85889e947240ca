//! One engine, one task, one line of JSON: what `cargo xtask bench log` starts, again and again.

// Its output is its purpose.
#![allow(clippy::print_stdout)]

mod bare;
mod consume;
mod events;
mod peers;
mod postgres;
mod remote;
mod report;
mod saga;
mod tenon;

use clap::Parser;
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

/// What everything here answers.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Debug, Parser)]
struct Cli {
    /// How many streams there are
    #[arg(long, default_value_t = 1_000_000)]
    streams: u64,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Parser)]
enum Task {
    /// Keep appends of one event each in flight
    BareAppend {
        folder: PathBuf,
        in_flight: usize,
        seconds: f64,
    },
    TenonAppend {
        folder: PathBuf,
        callers: usize,
        seconds: f64,
        /// Each to a stream of its own, which must be new
        #[arg(long)]
        if_new: bool,
    },
    JetstreamAppend {
        url: String,
        in_flight: usize,
        seconds: f64,
    },
    RedisAppend {
        url: String,
        in_flight: usize,
        seconds: f64,
    },
    /// Read everything
    TenonReplay {
        folder: PathBuf,
    },
    JetstreamReplay {
        url: String,
    },
    RedisReplay {
        url: String,
    },
    /// Consume and acknowledge one by one
    JetstreamConsume {
        url: String,
        seconds: f64,
    },
    /// Append so many events, some in each append
    TenonFill {
        folder: PathBuf,
        count: u64,
        #[arg(long, default_value_t = 1)]
        each: u64,
        #[arg(long, default_value_t = 4_096)]
        in_flight: usize,
    },
    /// Serve a log over gRPC until standard input ends
    TenonServe {
        folder: PathBuf,
    },
    /// Append through a server, a process of its own
    RemoteAppend {
        folder: PathBuf,
        callers: usize,
        seconds: f64,
    },
    /// Read everything through a server, a process of its own
    RemoteReplay {
        folder: PathBuf,
    },
    /// Consume through a server, a process of its own, and acknowledge one by one
    RemoteConsume {
        folder: PathBuf,
        seconds: f64,
    },
    /// Subscribe to many types through a server, a process of its own, and append to them
    RemoteFanOut {
        folder: PathBuf,
        types: usize,
        each: usize,
        per_second: u64,
        seconds: f64,
    },
    /// Compress all segments but the last
    TenonCompress {
        folder: PathBuf,
    },
    /// Open a log
    TenonOpen {
        folder: PathBuf,
    },
    /// The same in PostgreSQL, in a server of its own
    PostgresAppend {
        callers: usize,
        seconds: f64,
    },
    PostgresReplay {
        seconds: f64,
    },
    /// Keep sagas of three steps running, whose steps are functions
    SagaRun {
        folder: PathBuf,
        callers: u64,
        seconds: f64,
    },
    /// Run so many sagas to their end, and leave others that wait
    SagaFill {
        folder: PathBuf,
        finished: u64,
        waiting: u64,
    },
    /// Take up the sagas that run
    SagaOpen {
        folder: PathBuf,
        running: usize,
    },
    /// Read single streams
    TenonStreams {
        folder: PathBuf,
        #[arg(long)]
        warm: bool,
    },
}

fn main() -> Outcome<()> {
    let cli = Cli::parse();
    if let Task::TenonServe { folder } = &cli.task {
        return remote::serve(folder);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let report = runtime.block_on(async { tokio::spawn(run(cli)).await? })?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

async fn run(Cli { streams, task }: Cli) -> Outcome<report::Report> {
    let span = Duration::from_secs_f64;
    match task {
        Task::BareAppend { folder, in_flight, seconds } => {
            let append = move || bare::append(&folder, in_flight, span(seconds), streams);
            Ok(tokio::task::spawn_blocking(append).await??)
        }
        Task::TenonAppend { folder, callers, seconds, if_new } => {
            tenon::append(&folder, callers, span(seconds), streams, if_new).await
        }
        Task::JetstreamAppend { url, in_flight, seconds } => {
            peers::jetstream_append(&url, in_flight, span(seconds), streams).await
        }
        Task::RedisAppend { url, in_flight, seconds } => {
            peers::redis_append(&url, in_flight, span(seconds), streams).await
        }
        Task::TenonReplay { folder } => tenon::replay(&folder).await,
        Task::JetstreamReplay { url } => peers::jetstream_replay(&url).await,
        Task::RedisReplay { url } => peers::redis_replay(&url).await,
        Task::JetstreamConsume { url, seconds } => peers::jetstream_consume(&url, span(seconds)).await,
        Task::TenonFill { folder, count, each, in_flight } => {
            tenon::fill(&folder, count, each, streams, in_flight).await
        }
        Task::TenonServe { .. } => Err("a server answers with no report".into()),
        Task::RemoteAppend { folder, callers, seconds } => {
            remote::append(&folder, callers, span(seconds), streams).await
        }
        Task::RemoteReplay { folder } => remote::replay(&folder).await,
        Task::RemoteConsume { folder, seconds } => consume::consume(&folder, span(seconds)).await,
        Task::RemoteFanOut { folder, types, each, per_second, seconds } => {
            consume::fan_out(&folder, types, each, per_second, span(seconds)).await
        }
        Task::TenonCompress { folder } => tenon::compress(&folder).await,
        Task::PostgresAppend { callers, seconds } => postgres::append(callers, span(seconds), streams).await,
        Task::PostgresReplay { seconds } => postgres::replay(span(seconds), streams).await,
        Task::SagaRun { folder, callers, seconds } => saga::run(&folder, callers, span(seconds)).await,
        Task::SagaFill { folder, finished, waiting } => saga::fill(&folder, finished, waiting).await,
        Task::SagaOpen { folder, running } => saga::open(&folder, running).await,
        Task::TenonOpen { folder } => tenon::open(&folder).await,
        Task::TenonStreams { folder, warm } => tenon::streams(&folder, streams, warm).await,
    }
}
