//! `cargo xtask test`: every test, in one go.

mod failures;

use crate::shell::{self, Outcome, PROFILE, cargo};
use crate::{prepare, system, tidy};
use clap::Args;
use failures::Failures;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run thousands of seeds where the normal run takes 200, and 10 minutes of load (or TENON_SOAK_SECONDS)
    #[arg(long)]
    long: bool,
    /// Only tests whose name contains this
    filter: Option<String>,
}

/// Runs the tests of the whole workspace. The programs are built first, because tests start them.
pub(crate) fn run(options: &Options) -> Outcome {
    tidy::quick()?;
    prepare::interpreters()?;
    prepare::tools()?;
    prepare::postgres()?;
    let python = prepare::python_clients()?;
    let node = prepare::node_with_proxy_support()?;
    system::build(PROFILE)?;
    interleavings()?;
    let mut tests = cargo(&["test", "--profile", PROFILE, "--workspace", "--no-fail-fast"]);
    tests.env("TENON_TEST_PYTHON", python).env("TENON_TEST_NODE", node);
    if options.long {
        tests.env("TENON_TEST_LONG", "1");
    }
    if let Some(filter) = &options.filter {
        tests.arg("--").arg(filter);
    }
    let mut failures = Failures::default();
    let outcome = shell::run_reading(&mut tests, |line| failures.read(line));
    failures.tell();
    outcome
}

/// What threads share, in every order that they may use it in. A build of its own, because it has other atomics.
fn interleavings() -> Outcome {
    let features = ["--package", "tenon-core", "--lib", "--features", "loom"];
    shell::run(cargo(&["test", "--profile", PROFILE]).args(features).args(["--", "loom::"]))
}
