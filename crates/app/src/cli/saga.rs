//! What can be typed after `tenon saga verify`.

use clap::Args;
use std::path::PathBuf;

pub(super) const VERIFY: &str = "\
Examples:
  tenon saga verify                              every saga of tenon.yaml
  tenon saga verify --saga place-order --faults 3
  tenon saga verify --lapse take_payment=repeats what if the service does a repeated call again?

The verdict is `verified` if every state was looked at that can be reached with so many faults, and `bounded` if there are more
states than --states.";

/// `tenon saga verify`
#[derive(Debug, Args)]
pub(crate) struct VerifySaga {
    /// The manifest
    #[arg(default_value = "tenon.yaml", value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only this saga
    #[arg(long, value_name = "NAME")]
    pub(crate) saga: Option<String>,
    /// How many faults there may be in one run: crashes, lost or late answers, repeated calls, steps that cannot be undone
    #[arg(long, default_value_t = 2, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(0..=16))]
    pub(crate) faults: u8,
    /// How many tries a step has at most, so that spending them is within reach of the faults
    #[arg(long, default_value_t = 2, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) tries: u32,
    /// How many states to look at before random schedules take over
    #[arg(long, default_value_t = 4_000_000, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) states: u64,
    /// What the random schedules follow from
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    pub(crate) seed: u64,
    /// Assume that a step's service does not do as it must: `repeats`, `undoes-nothing`, `hangs` or `forgets-refusals`
    #[arg(long, value_name = "STEP=LAPSE")]
    pub(crate) lapse: Vec<String>,
}
