//! Taking part in sagas: a call of one that comes twice, late, or after it was undone does no harm.
//!
//! A service hands each call of a saga to a [`Participant`], with what the call is to do. That runs in a transaction of the
//! service's own database, together with the record by which a repeat of the call is known; the rules are those of
//! [`tenon_core::saga::barrier`].
//!
//! ```no_run
//! use tenon_sdk::saga::{Participant, SagaCall, Trouble};
//! use tenon_sdk::sqlx::{self, Sqlite, SqlitePool};
//!
//! # async fn serve(pool: SqlitePool, headers: std::collections::BTreeMap<String, String>) -> Result<(), Box<dyn std::error::Error>> {
//! let participant = Participant::<Sqlite>::new(pool).await?;
//! let call = SagaCall::read(|name| headers.get(name).map(String::as_str))?.ok_or("no saga calls")?;
//! let answer = participant
//!     .run(&call, async |connection| {
//!         let taken = sqlx::query("UPDATE stock SET pieces = pieces - 1 WHERE sku = 'chair' AND pieces > 0");
//!         match taken.execute(connection).await?.rows_affected() {
//!             0 => Err(Trouble::refused("there are no chairs left")),
//!             _ => Ok(serde_json::json!({"reserved": 1})),
//!         }
//!     })
//!     .await?;
//! println!("{} {}", answer.status(), answer.body());
//! # Ok(())
//! # }
//! ```
//!
//! The same function serves doing and undoing: [`SagaCall::direction`] says which it is. Undoing that is refused is not
//! recorded, and comes again.
//!
//! Left out on purpose: servers of HTTP, of which there are many. What a service in another language does is in
//! `docs/sagas.md`.

mod call;
mod records;

pub use call::{InvalidCall, SagaCall};
pub use records::Records;
pub use tenon_core::saga::Direction;

use serde_json::Value;
use sqlx::{Connection, Pool, Transaction};
use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tenon_core::saga::barrier::{Ask, Record, Verdict, arrive, settle};

/// What a call that was never answered comes too late for.
const TOO_LATE: &str = "the step was undone before this call came";

/// A service that takes part in sagas, with its records in a table of its database, `tenon_barrier`.
#[derive(Debug, Clone)]
pub struct Participant<D: Records> {
    pool: Pool<D>,
}

/// What a call is answered with.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It was done, now or before, or there was nothing to undo.
    Done(Value),
    /// It was not done, and under its key never will be.
    Refused(String),
}

/// Why a call was not done.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The service decides against it. That is recorded: the same call is refused whenever it comes.
    #[error("{0}")]
    Refused(String),
    /// It could not be tried to its end. Nothing has changed, and it may be tried again.
    #[error("a saga's call could not be carried out")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

impl<D: Records> Participant<D> {
    /// A participant on a database; makes its table there if there is none.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn new(pool: Pool<D>) -> sqlx::Result<Self> {
        let mut connection = pool.acquire().await?;
        D::prepare(&mut connection).await?;
        drop(connection);
        Ok(Self { pool })
    }

    /// Answers a call: runs `effect` if the call is to be carried out, and otherwise says again what was said before. What
    /// the effect writes and the record of it are there together or not at all.
    ///
    /// Calls of the same step wait for each other. Cancelled, it has done nothing or everything.
    ///
    /// # Errors
    /// [`Trouble::Failed`]; a refusal is an [`Answer`].
    pub async fn run(
        &self,
        call: &SagaCall,
        effect: impl AsyncFnOnce(&mut D::Connection) -> Result<Value, Trouble>,
    ) -> Result<Answer, Trouble> {
        let mut transaction = self.pool.begin().await?;
        let kept = D::look(&mut transaction, call, now()).await?;
        let ask = call.ask();
        let (answer, succeeded) = match arrive(kept.record, ask) {
            Verdict::Run => match attempt(&mut transaction, effect).await {
                Ok(output) => (Answer::Done(output), true),
                // What undoes is owed: it comes again.
                Err(Trouble::Refused(reason)) if ask == Ask::Undo => return Ok(Answer::Refused(reason)),
                Err(Trouble::Refused(reason)) => (Answer::Refused(reason), false),
                Err(failed) => return Err(failed),
            },
            Verdict::Repeat if ask == Ask::Undo => return Ok(Answer::Done(Value::Null)),
            Verdict::Repeat => return Ok(Answer::Done(parsed(kept.answer.as_deref())?)),
            Verdict::RepeatRefusal => return Ok(Answer::Refused(kept.answer.unwrap_or_default())),
            Verdict::Hanging => return Ok(Answer::Refused(TOO_LATE.to_owned())),
            Verdict::NothingToUndo => (Answer::Done(Value::Null), true),
        };
        let record = settle(kept.record, ask, succeeded);
        let text = match (&answer, record) {
            (_, Record::Undone) => None,
            (Answer::Done(output), _) => Some(output.to_string()),
            (Answer::Refused(reason), _) => Some(reason.clone()),
        };
        D::keep(&mut transaction, call, record, text.as_deref()).await?;
        transaction.commit().await?;
        Ok(answer)
    }

    /// Forgets the calls that came last so long ago; how many steps that were. It must be longer than any saga takes, parked
    /// ones included: a call that comes after that is taken for a new one.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn forget(&self, older_than: Duration) -> sqlx::Result<u64> {
        let before = now().saturating_sub(i64::try_from(older_than.as_millis()).unwrap_or(i64::MAX));
        let mut connection = self.pool.acquire().await?;
        D::forget(&mut connection, before).await
    }
}

/// Runs the effect so that what it wrote is taken back if it does not succeed.
async fn attempt<D: Records>(
    transaction: &mut Transaction<'_, D>,
    effect: impl AsyncFnOnce(&mut D::Connection) -> Result<Value, Trouble>,
) -> Result<Value, Trouble> {
    let mut inner = Connection::begin(&mut **transaction).await?;
    match effect(&mut inner).await {
        Ok(output) => {
            inner.commit().await?;
            Ok(output)
        }
        Err(trouble) => {
            inner.rollback().await?;
            Err(trouble)
        }
    }
}

fn parsed(answer: Option<&str>) -> Result<Value, Trouble> {
    answer.map_or(Ok(Value::Null), |text| serde_json::from_str(text).map_err(Trouble::failed))
}

/// In milliseconds since the Unix epoch, as databases keep it.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Trouble {
    /// The service decides against it.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::Refused(reason.into())
    }

    /// It could not be tried to its end.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::failed(error)
    }
}

impl Answer {
    /// The status of HTTP that says it to the saga: 200, or 422, which is a refusal for good.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Done(_) => 200,
            Self::Refused(_) => 422,
        }
    }

    /// The body that goes with it: the output, or a problem (RFC 9457).
    pub fn body(&self) -> Value {
        match self {
            Self::Done(output) => output.clone(),
            Self::Refused(reason) => serde_json::json!({"status": 422, "title": "Refused", "detail": reason}),
        }
    }
}

#[cfg(test)]
mod tests;
