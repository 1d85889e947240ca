//! Reaching the database: its address, the settings of a connection, and what can go wrong.

use super::failure::Failure;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow};
use sqlx::{ConnectOptions, Connection, raw_sql};
use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;
use tenon_core::Code;

/// How long reaching the database may take, unless more patience is asked for.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a read may take. One that takes longer has lost its connection without being told.
const ANSWER: Duration = Duration::from_secs(30);

/// What every connection is told first. The log's statements each name an index by their form, so the planner is not
/// to think of scans, which it does while a table has no statistics. A transaction that was left open holds up all
/// servers, so the database ends it, before the others are out of patience. A commit is answered when it is durable,
/// whatever the database's default.
const SETTINGS: &str = "
    SET client_min_messages = warning;
    SET default_transaction_isolation = 'read committed';
    SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '3s';
    SET enable_seqscan = off;
    SET enable_bitmapscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET jit = off;
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
";

/// Asks by one of the pool's connections, and gives that up if it does not answer in time.
pub(super) async fn ask(
    pool: &PgPool,
    query: sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    match tokio::time::timeout(ANSWER, query.fetch_all(&mut *connection)).await {
        Ok(rows) => rows,
        Err(_) => {
            connection.close_on_drop();
            Err(io::Error::from(io::ErrorKind::TimedOut).into())
        }
    }
}

/// Where the database is and as whom to use it. Shown without the password.
#[derive(Clone)]
pub(super) struct Target {
    options: PgConnectOptions,
    /// How long reaching it may take.
    within: Duration,
}

impl Target {
    /// Reads a URL, `postgres://user:password@host:port/database`; what it leaves out is taken from the environment
    /// (`PGHOST`, `PGPASSWORD` …) and `~/.pgpass`, as PostgreSQL's own programs do.
    pub(super) fn parse(url: &str) -> Result<Self, ConnectError> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(ConnectError::Address("it must begin with postgres://".to_owned()));
        }
        // The message tells what is wrong with the form, and shows no part of the URL.
        let options = PgConnectOptions::from_str(url).map_err(|error| match error {
            sqlx::Error::Configuration(reason) => ConnectError::Address(reason.to_string()),
            other => ConnectError::Address(other.to_string()),
        })?;
        let named = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("tenon"),
        };
        Ok(Self { options: named.disable_statement_logging(), within: CONNECT })
    }

    /// The same, for who waits at least so long until it is reached.
    pub(super) fn patient(self, patience: Duration) -> Self {
        Self { within: self.within.max(patience), ..self }
    }

    /// Opens one connection.
    pub(super) async fn connect(&self) -> Result<PgConnection, Failure> {
        let opening = async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            raw_sql(SETTINGS).execute(&mut connection).await?;
            Ok::<_, sqlx::Error>(connection)
        };
        match tokio::time::timeout(self.within, opening).await {
            Ok(opened) => Ok(opened?),
            Err(_) => Err(Failure::timeout("connecting")),
        }
    }

    /// Connections for reads, opened when they are needed.
    pub(super) fn pool(&self, connections: u32, patience: Duration) -> PgPool {
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(patience.max(Duration::from_millis(500)))
            // A connection that has broken is found by the read that uses it, and the read is repeated.
            .test_before_acquire(false)
            .after_connect(|connection, _| {
                Box::pin(async move { raw_sql(SETTINGS).execute(connection).await.map(|_| ()) })
            })
            .connect_lazy_with(self.options.clone())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.options;
        let database = options.get_database().unwrap_or(options.get_username());
        match options.get_socket() {
            Some(socket) => write!(f, "database {database} at {}", socket.display()),
            None => write!(f, "database {database} at {}:{}", options.get_host(), options.get_port()),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a log in PostgreSQL could not be opened. No event was changed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is not one.
    #[error(
        "the log's address is not one of a PostgreSQL database: {0}; write postgres://user@host/database"
    )]
    Address(String),
    /// The database cannot be reached, or does not let this user in.
    #[error("cannot reach the {target}")]
    Unreachable {
        /// Where it was sought, without the password.
        target: String,
        /// Why not.
        #[source]
        source: Cause,
    },
    /// The tables cannot be made or read.
    #[error("the log's tables cannot be prepared; the user needs CREATE on the database the first time")]
    Schema(#[source] sqlx::Error),
    /// The tables were made by a newer version.
    #[error("the log's tables have version {found}, this program knows up to {supported}; use a newer Tenon")]
    NewerVersion {
        /// Their version.
        found: i32,
        /// The newest version that is understood.
        supported: i32,
    },
}

/// What the system or the database said.
pub type Cause = std::sync::Arc<io::Error>;

impl ConnectError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Address(_) => Code::RequestInvalid,
            Self::Unreachable { .. } => Code::LogUnavailable,
            Self::Schema(_) => Code::Internal,
            Self::NewerVersion { .. } => Code::DataNewerVersion,
        }
    }

    pub(super) fn schema(error: sqlx::Error) -> Self {
        Self::Schema(error)
    }

    pub(super) fn unreachable(target: &Target, failure: Failure) -> Self {
        let source = match failure {
            Failure::Full => std::sync::Arc::new(io::ErrorKind::StorageFull.into()),
            Failure::Passing(error) | Failure::Lasting(error) => error,
        };
        Self::Unreachable { target: target.to_string(), source }
    }
}

#[cfg(test)]
mod tests;
