//! How long a data plane waits for what may still come.

use super::span;
use clap::Args;
use std::time::Duration;
use tenon_proxy::Limits;

/// The waits of `tenon proxy` and `tenon sidecar` that depend on what runs there and how fast the machine is.
#[derive(Debug, Default, Clone, Copy, Args)]
pub(crate) struct Waits {
    /// How long a call may wait for an instance of a service that has none but should have [default: 2s]
    #[arg(long, env = "TENON_HOLD", value_name = "DURATION", value_parser = span)]
    hold: Option<Duration>,
    /// How long a tunnel may take to show what it carries; then it is plain bytes [default: 500ms]
    #[arg(long, env = "TENON_DETECT_TIMEOUT", value_name = "DURATION", value_parser = span)]
    detect_timeout: Option<Duration>,
}

impl Waits {
    /// The limits with these waits.
    pub(crate) fn limits(self) -> Limits {
        let defaults = Limits::default();
        Limits {
            hold: self.hold.unwrap_or(defaults.hold),
            detect_timeout: self.detect_timeout.unwrap_or(defaults.detect_timeout),
            ..defaults
        }
    }
}
