//! Projections: read models that follow the log, each event with its effect exactly once.
//!
//! A [`Projection`] says which events it takes and what each does to its tables, in plain SQL. The
//! [`Projector`] follows the log, and commits the change of the tables and how far it has come in one
//! transaction of the same database. So a read model never holds half an event, none twice, and after a crash
//! goes on where it was. What it decides by are the rules of [`tenon_core::projection`]: an event that cannot be
//! applied is parked with its key, tried again after growing waits, and delays no other key.
//!
//! Read models come in generations, each with tables of its own. When the projection's version is raised, the
//! log is another one, or somebody asks for it, a new generation is made beside the one that is read, and takes
//! its place when it has caught up; until then the old one is kept up to date too.
//!
//! A read model is behind the log, by [`Status::lag`]. Whoever must see what it has just written waits for it:
//! [`Projector::reached`].
//!
//! Left out on purpose: models that are not in a database. What fits in memory is a [`Fold`](crate::Fold).

mod bookkeeping;
mod follower;
mod generation;
mod past;
mod postgres;
mod projector;
mod sqlite;

pub use bookkeeping::{Bookkeeping, Kept};
pub use generation::{Made, ReadModels, Room};
pub use past::Past;
pub use postgres::{PostgresModels, PostgresRoom};
pub use projector::{Options, ParkedKey, Projector, Reading, Status};
pub use sqlite::{SqliteModels, SqliteRoom};

use sqlx::Database;
use std::error::Error;
use std::future::Future;
use tenon_core::{EventType, InvalidName};
use tenon_store::{Event, Query, QueryItem, ReadError};

/// The type of the event which says that a subject is forgotten, in the stream `$subject/NAME`. Every projection
/// gets these, by [`Projection::forget`].
pub const SUBJECT_FORGOTTEN: &str = "tenon.subject.SubjectForgotten.v1";

/// How the names of the streams begin that say so.
const SUBJECT_STREAMS: &str = "$subject/";

/// Why an event could not be applied. It is shown to whoever looks at what is parked.
pub type Failure = Box<dyn Error + Send + Sync>;

/// What makes a read model of events.
pub trait Projection<DB: Database>: Send + Sync + 'static {
    /// Its name: 1 to 40 characters of `a-z`, `0-9` and `_`, beginning with a letter.
    const NAME: &'static str;
    /// Raise it when the tables or what events do to them change: the model is then made anew.
    const VERSION: u32;

    /// Which events it takes.
    ///
    /// # Errors
    /// [`InvalidName`] if a stream, tag or type cannot be called so.
    fn selects(&self) -> Result<Query, InvalidName>;

    /// What an event belongs to: events with the same key are applied in order, and wait for each other when one
    /// fails. Its stream, unless told otherwise.
    fn key(&self, event: &Event) -> String {
        event.stream.to_string()
    }

    /// Makes the tables, empty.
    fn create(&self, connection: &mut DB::Connection) -> impl Future<Output = Result<(), Failure>> + Send;

    /// What an event does to the tables. It must depend on nothing but the event and the tables.
    fn apply(
        &self,
        connection: &mut DB::Connection,
        event: &Event,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Takes out everything that the tables hold of a subject, a person who has the right to be forgotten.
    /// Events about it that are read later have no data any more, and [`decode`](crate::events::decode) passes
    /// over them.
    fn forget(
        &self,
        connection: &mut DB::Connection,
        subject: &str,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Why a projection cannot go on, or cannot be asked. What it has committed stays.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// Its name is not one.
    #[error(
        "projection {0:?} must have a name of 1 to 40 characters of a-z, 0-9 and '_', beginning with a letter"
    )]
    Name(&'static str),
    /// A name in its query is not one.
    #[error(transparent)]
    Query(#[from] InvalidName),
    /// The database failed.
    #[error("the read model's database failed")]
    Database(#[from] sqlx::Error),
    /// The tables could not be made.
    #[error("the tables of {projection} cannot be made")]
    Create {
        /// The projection.
        projection: &'static str,
        /// Why.
        #[source]
        source: Failure,
    },
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is asked for does not fit what is parked.
    #[error(transparent)]
    Illegal(#[from] tenon_core::projection::Illegal),
    /// The log was closed, and with it the projector ended.
    #[error("the projector has ended")]
    Ended,
}

/// Checks a projection's name.
fn check_name(name: &'static str) -> Result<(), ProjectionError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let good = (1..=40).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(fits);
    if good { Ok(()) } else { Err(ProjectionError::Name(name)) }
}

/// The query with the events that say whom to forget, and which streams were deleted.
fn with_forgotten(mut query: Query) -> Result<Query, InvalidName> {
    if query.items.is_empty() {
        return Ok(query);
    }
    for item in query.items.iter_mut().filter(|item| !item.types.is_empty()) {
        item.types.insert(EventType::stream_deleted());
    }
    let types = [EventType::new(SUBJECT_FORGOTTEN)?].into();
    Ok(query.or(QueryItem { types, ..QueryItem::default() }))
}

/// The subject that an event says is forgotten.
fn forgotten(event: &Event) -> Option<&str> {
    let subject = event.stream.as_str().strip_prefix(SUBJECT_STREAMS)?;
    (event.event_type.as_str() == SUBJECT_FORGOTTEN).then_some(subject)
}

#[cfg(test)]
mod tests;
