//! A log in a database made of another log, whatever that is kept in: the same id, positions, ids and times. In one
//! transaction, so either all of it is there or nothing is.

use super::connect::{ConnectError, Target};
use super::failure::{self, Failure};
use super::schema;
use super::sql::number;
use super::write;
use sqlx::raw_sql;
use std::sync::Arc;
use tenon_core::{Code, Position};
use tenon_store::log::whole::Whole;
use tenon_store::segment::import::Imported;
use tenon_store::{AppendError, Log, ReadError};
use uuid::Uuid;

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database cannot be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// There is a log already.
    #[error("the database holds a log of {0} positions already; name an empty one")]
    NotEmpty(Position),
    /// The other log cannot be read.
    #[error("the log that is copied cannot be read")]
    Read(#[from] ReadError),
    /// The database refused or failed.
    #[error("the database failed; nothing was copied")]
    Write(#[source] AppendError),
    /// The connection broke while all was committed.
    #[error(
        "the connection to the database broke while it committed: all was copied, or nothing; copy again, which is refused \
         if all was"
    )]
    Unknown,
}

impl MigrateError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Connect(error) => error.code(),
            Self::NotEmpty(_) => Code::LogInvalid,
            Self::Read(error) => error.code(),
            Self::Write(error) => error.code(),
            Self::Unknown => Code::LogUnavailable,
        }
    }
}

impl From<Failure> for MigrateError {
    fn from(failure: Failure) -> Self {
        Self::Write(failure.into())
    }
}

impl From<sqlx::Error> for MigrateError {
    fn from(error: sqlx::Error) -> Self {
        Failure::from(error).into()
    }
}

/// Makes a log in the database that the URL names of another log, which nobody may append to meanwhile.
///
/// # Errors
/// [`MigrateError`]; nothing was copied.
pub async fn migrate(source: &Arc<dyn Log>, url: &str) -> Result<Imported, MigrateError> {
    let target = Target::parse(url)?;
    let unreachable = |failure| ConnectError::unreachable(&target, failure);
    let mut connection = target.connect().await.map_err(unreachable)?;
    schema::prepare(&mut connection, source.id()).await?;
    let found = write::lock(&mut connection).await?;
    // Nobody else waits for it, and between two pages the other log may take long.
    raw_sql("SET LOCAL idle_in_transaction_session_timeout = 0").execute(&mut connection).await?;
    if found.last > 0 {
        return Err(MigrateError::NotEmpty(Position(found.last)));
    }
    let mut imported = Imported { events: 0, head: source.head() };
    let mut whole = Whole::new(Arc::clone(source));
    while let Some(events) = whole.next().await? {
        write::write(&mut connection, &events).await?;
        imported.events += events.len() as u64;
    }
    sqlx::query("UPDATE tenon.log_head SET log = $1, last = $2, first = $3 WHERE one")
        .bind(Uuid::from_bytes(*source.id().as_bytes()))
        .bind(number(imported.head))
        .bind(number(source.first()))
        .execute(&mut connection)
        .await?;
    match raw_sql("COMMIT").execute(&mut connection).await {
        Ok(_) => Ok(imported),
        Err(error) if failure::is_refusal(&error) => Err(error.into()),
        Err(_) => Err(MigrateError::Unknown),
    }
}
