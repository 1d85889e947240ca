//! Streams that outlive a restart of the server.

use crate::failure::Failure;
use std::time::{Duration, Instant};
use tenon_api::client::Error;

/// How long a server may be gone before a stream is given up.
const MOST: Duration = Duration::from_secs(30);

/// How long to wait before asking again.
const AGAIN: Duration = Duration::from_millis(200);

/// Why a stream ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The server, or the way to it.
    Remote(Error),
    /// What was to be printed could not be.
    Output(std::io::Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Remote(error)
    }
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

/// Decides whether a stream that ended is asked for again.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// Whether there has been a stream at all.
    began: bool,
    /// Since when there is none.
    gone: Option<Instant>,
}

impl Patience {
    /// There is a stream.
    pub(super) fn renew(&mut self) {
        *self = Self { began: true, gone: None };
    }

    /// Waits before the next try, or says why there is none: the first stream never came about, the server refuses, or
    /// it has been gone for too long.
    pub(super) async fn after(&mut self, ended: Result<(), Ended>) -> Result<(), Failure> {
        match ended {
            Ok(()) => {}
            Err(Ended::Output(error)) => return Err(error.into()),
            Err(Ended::Remote(error)) if !self.may_return(&error) => return Err(error.into()),
            Err(Ended::Remote(_)) => {}
        }
        tokio::time::sleep(AGAIN).await;
        Ok(())
    }

    fn may_return(&mut self, error: &Error) -> bool {
        let gone = *self.gone.get_or_insert_with(Instant::now);
        let lost =
            matches!(error, Error::Unavailable { .. } | Error::Interrupted { .. } | Error::Timeout { .. });
        self.began && lost && gone.elapsed() < MOST
    }
}
