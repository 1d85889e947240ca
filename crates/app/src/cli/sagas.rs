//! What can be typed after `tenon saga`.

use super::saga::{VERIFY, VerifySaga};
use clap::{Args, Subcommand};
use std::path::PathBuf;

const START: &str = "\
Examples:
  tenon saga start order '{\"customer\": \"ada\", \"total\": 25}'
  tenon saga start order @order.json --key order-7 --wait 10     the same saga, however often it is sent

With --wait the exit code says how it is then: 0 completed, 10 compensated, 11 failed (turned back, and something was left as it is),
12 it still runs, 13 it is parked.";

const SHOW: &str = "\
With --wait and --follow the exit code says how it is then: 0 completed, 10 compensated, 11 failed (turned back, and something was left
as it is), 12 it still runs, 13 it is parked.";

const DECIDE: &str = "\
Examples:
  tenon saga retry 01a1fc47-9c82-73dd-a8b1-63b0801a97c7 mail     this step
  tenon saga retry 01a1fc47-9c82-73dd-a8b1-63b0801a97c7          every step of it that waits
  tenon saga retry --all --name order                            of all sagas `order` that wait for somebody
  tenon saga retry --all --step mail --since 2026-11-01T00:00:00Z   this step of all that began since then";

const EDIT: &str = "\
Examples:
  tenon saga edit 01a1fc47-9c82-73dd-a8b1-63b0801a97c7 mail '{\"to\": \"ada\"}'
  tenon saga edit --all --name order --step mail --with @mail.json     the same input for all that wait there";

const CONFORMANCE: &str = "\
Examples:
  tenon saga conformance http://127.0.0.1:9000/payments --input '{\"amount\": 1}' \\
      --undo-url http://127.0.0.1:9000/refunds --probe http://127.0.0.1:9000/balance

The exit code is 0 if all is kept, 3 if something is broken or could not be tested, and 6 if the service cannot be reached.";

/// The commands of sagas.
#[derive(Debug, Subcommand)]
pub(crate) enum SagaCommand {
    /// Explore what can become of a manifest's sagas, under every failure; needs no server
    #[command(after_help = VERIFY)]
    Verify(VerifySaga),
    /// Sagas that run or have run
    List(ListSagas),
    /// Start a saga
    #[command(after_help = START)]
    Start(StartSaga),
    /// A saga: its steps, and everything that happened to it
    #[command(after_help = SHOW)]
    Show(ShowSaga),
    /// Tell a saga what it waits for
    Signal(Signal),
    /// Turn a saga back: what may have run is undone
    Cancel(OneSaga),
    /// Give steps that wait for somebody all their tries again
    #[command(after_help = DECIDE)]
    Retry(Decide),
    /// Send something else, and try again
    #[command(after_help = EDIT)]
    Edit(Edit),
    /// Leave a step out; or leave it as it is, if it was to be undone
    Skip(Decide),
    /// Say that a step was done, or undone, by hand
    Done(Done),
    /// Say that the pivot, of which nobody knows, was not done: the saga is turned back
    Compensate(Compensate),
    /// Find out whether a service keeps what is asked of those that take part in sagas; needs no server
    #[command(after_help = CONFORMANCE)]
    Conformance(Conformance),
    /// The sagas that can be started
    Definitions(Within),
    /// Make a saga, or change how those that begin from now on are
    Define(DefineSaga),
    /// Let no more sagas of a name begin
    Retire(NamedSaga),
}

/// A namespace.
#[derive(Debug, Args)]
pub(crate) struct Within {
    /// The namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
}

/// `tenon saga list`
#[derive(Debug, Args)]
pub(crate) struct ListSagas {
    #[command(flatten)]
    pub(crate) within: Within,
    /// Only those of this name
    #[arg(long, value_name = "SAGA")]
    pub(crate) name: Option<String>,
    /// Only those in one of these states, for example `parked` or `completed,compensated`
    #[arg(long, value_name = "STATES")]
    pub(crate) state: Option<String>,
    /// Only the one that was started with this key; with --name
    #[arg(long, requires = "name")]
    pub(crate) key: Option<String>,
    /// Only those that began at this time (RFC 3339) or later
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only those that began before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// The most sagas
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) limit: u64,
}

/// A saga that can be started.
#[derive(Debug, Args)]
pub(crate) struct NamedSaga {
    /// The saga
    #[arg(value_name = "SAGA")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) within: Within,
}

/// `tenon saga start`
#[derive(Debug, Args)]
pub(crate) struct StartSaga {
    #[command(flatten)]
    pub(crate) of: NamedSaga,
    /// What it is given: JSON, a text, `@FILE`, or `@-` for standard input
    #[arg(value_name = "INPUT")]
    pub(crate) input: Option<String>,
    /// By which starting it again is recognised
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Wait so many seconds for its end
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wait: Option<u64>,
}

/// A saga that runs or has run.
#[derive(Debug, Args)]
pub(crate) struct OneSaga {
    /// The saga's id
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

/// `tenon saga show`
#[derive(Debug, Args)]
pub(crate) struct ShowSaga {
    #[command(flatten)]
    pub(crate) of: OneSaga,
    /// Print what happens to it as it happens, until it has ended
    #[arg(short, long, conflicts_with = "wait")]
    pub(crate) follow: bool,
    /// Wait so many seconds for its end
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wait: Option<u64>,
}

/// `tenon saga signal`
#[derive(Debug, Args)]
pub(crate) struct Signal {
    #[command(flatten)]
    pub(crate) of: OneSaga,
    /// The signal
    pub(crate) signal: String,
    /// What it brings: JSON, a text, `@FILE`, or `@-` for standard input
    #[arg(value_name = "DATA")]
    pub(crate) payload: Option<String>,
}

/// Many sagas that wait for somebody.
#[derive(Debug, Args)]
pub(crate) struct Many {
    /// All sagas that wait for somebody
    #[arg(long, conflicts_with = "id")]
    pub(crate) all: bool,
    /// Only those of this namespace
    #[arg(long, value_name = "NAME", requires = "all")]
    pub(crate) namespace: Option<String>,
    /// Only those of this name
    #[arg(long, value_name = "SAGA", requires = "all")]
    pub(crate) name: Option<String>,
    /// Only those that were started with this key
    #[arg(long, requires = "all")]
    pub(crate) key: Option<String>,
    /// Those in one of these states rather than the parked ones, for example `parked,compensating`
    #[arg(long, value_name = "STATES", requires = "all")]
    pub(crate) state: Option<String>,
    /// Only those that began at this time (RFC 3339) or later
    #[arg(long, value_name = "TIME", requires = "all")]
    pub(crate) since: Option<String>,
    /// Only those that began before this time
    #[arg(long, value_name = "TIME", requires = "all")]
    pub(crate) until: Option<String>,
    /// Only this step, and sagas in which it waits
    #[arg(long = "step", value_name = "STEP", requires = "all")]
    pub(crate) only: Option<String>,
}

/// `tenon saga retry` and `skip`
#[derive(Debug, Args)]
pub(crate) struct Decide {
    /// The saga's id
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub(crate) id: Option<String>,
    /// The step; every one that waits for somebody, if left out
    pub(crate) step: Option<String>,
    #[command(flatten)]
    pub(crate) many: Many,
}

/// `tenon saga edit`
#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// The saga's id
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub(crate) id: Option<String>,
    /// The step
    #[arg(required_unless_present = "all")]
    pub(crate) step: Option<String>,
    /// What is sent instead: JSON, a text, `@FILE`, or `@-` for standard input
    #[arg(value_name = "DATA", required_unless_present = "all")]
    pub(crate) payload: Option<String>,
    /// The same, for all
    #[arg(long, value_name = "DATA", requires = "all")]
    pub(crate) with: Option<String>,
    #[command(flatten)]
    pub(crate) many: Many,
}

/// `tenon saga done`
#[derive(Debug, Args)]
pub(crate) struct Done {
    /// The saga's id
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub(crate) id: Option<String>,
    /// The step
    #[arg(required_unless_present = "all")]
    pub(crate) step: Option<String>,
    /// What came of it: JSON, a text, `@FILE`, or `@-` for standard input
    #[arg(value_name = "OUTPUT")]
    pub(crate) payload: Option<String>,
    /// The same, for all
    #[arg(long, value_name = "OUTPUT", requires = "all")]
    pub(crate) with: Option<String>,
    #[command(flatten)]
    pub(crate) many: Many,
}

/// `tenon saga compensate`
#[derive(Debug, Args)]
pub(crate) struct Compensate {
    /// The saga's id
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) many: Many,
}

/// `tenon saga define`
#[derive(Debug, Args)]
pub(crate) struct DefineSaga {
    #[command(flatten)]
    pub(crate) of: NamedSaga,
    /// The definition as JSON, in the form that `definitions -o json` prints
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// `tenon saga conformance`
#[derive(Debug, Args)]
pub(crate) struct Conformance {
    /// What is called to do a step, `http://…` or `grpc://HOST:PORT/package.Service/Method`; `{saga}` here, and in what is sent, stands for the id of the saga
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// By which method
    #[arg(long, default_value = "POST")]
    pub(crate) method: String,
    /// What is sent: JSON, or a text
    #[arg(long, value_name = "JSON")]
    pub(crate) input: Option<String>,
    /// What is sent that the service refuses: then what it does after a refusal is tested as well
    #[arg(long, value_name = "JSON")]
    pub(crate) refused_input: Option<String>,
    /// What is called to undo it; the same, if left out
    #[arg(long, value_name = "URL")]
    pub(crate) undo_url: Option<String>,
    /// By which method
    #[arg(long, default_value = "POST", value_name = "METHOD")]
    pub(crate) undo_method: String,
    /// What is sent then
    #[arg(long, value_name = "JSON")]
    pub(crate) undo_input: Option<String>,
    /// With `grpc://`: the .proto files that describe the methods
    #[arg(long, value_name = "FILE")]
    pub(crate) proto: Vec<String>,
    /// The folder below which these and their imports are
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(crate) proto_root: String,
    /// What shows the service's state by GET: it must be the same in the end
    #[arg(long, value_name = "URL")]
    pub(crate) probe: Option<String>,
}
