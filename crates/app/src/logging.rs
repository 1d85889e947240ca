//! What the program says of itself while it runs, on standard error.

use tracing_subscriber::EnvFilter;

/// Says what `TENON_LOG` asks for (tracing's filter syntax, for example `debug` or `tenon_proxy=debug`), or else this
/// level and above.
pub(crate) fn to_stderr(level: &str) {
    let filter = EnvFilter::try_from_env("TENON_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}
