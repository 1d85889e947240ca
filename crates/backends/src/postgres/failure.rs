//! What a failure of the database means to whoever uses the log.

use sqlx::postgres::{PgDatabaseError, PgSeverity};
use std::io;
use std::sync::Arc;
use tenon_store::{AppendError, ReadError, SnapshotError};

/// What went wrong, by what may be done about it.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The database has no room.
    Full,
    /// It cannot be reached, is starting or stopping, or others hold what is needed: later it may go well.
    Passing(Arc<io::Error>),
    /// It refuses: trying again would be of no use.
    Lasting(Arc<io::Error>),
}

impl Failure {
    /// Something that takes too long.
    pub(super) fn timeout(doing: &'static str) -> Self {
        let text = format!("the database did not answer in time while {doing}");
        Self::Passing(Arc::new(io::Error::new(io::ErrorKind::TimedOut, text)))
    }

    /// Whether trying again may go well.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Passing(_))
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .map(std::borrow::Cow::into_owned);
        let passing = match (&error, code.as_deref()) {
            // Codes of PostgreSQL, appendix A of its manual.
            (E::Database(_), Some("53100")) => return Self::Full,
            (E::Database(_), Some(code)) => is_passing(code),
            (
                E::Io(_) | E::Tls(_) | E::Protocol(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed,
                _,
            ) => true,
            _ => false,
        };
        let error = Arc::new(io::Error::other(error));
        if passing { Self::Passing(error) } else { Self::Lasting(error) }
    }
}

/// Connections that break (08), a transaction that has to give way (40), no resources (53), a lock that was not to be
/// had (55P03), intervention by an operator (57), a transaction that took too long (25P03), a standby (25006).
fn is_passing(code: &str) -> bool {
    ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class))
        || matches!(code, "55P03" | "25P03" | "25006")
}

/// Whether the database itself says that it did not do what it was told, and the connection stands: after a commit, that
/// nothing was committed. What ends a connection is no such answer, for it may come when all is done.
pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    let told = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    told.is_some_and(|error| matches!(error.severity(), PgSeverity::Error))
}

impl From<Failure> for AppendError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full => Self::Full,
            Failure::Passing(error) => Self::Unavailable(error),
            Failure::Lasting(error) => Self::Io(error),
        }
    }
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full => Self::Io(Arc::new(io::ErrorKind::StorageFull.into())),
            Failure::Passing(error) => Self::Unavailable(error),
            Failure::Lasting(error) => Self::Io(error),
        }
    }
}

impl From<Failure> for SnapshotError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full => Self::Full,
            Failure::Passing(error) => Self::Unavailable(error),
            Failure::Lasting(error) => Self::Io(error),
        }
    }
}
