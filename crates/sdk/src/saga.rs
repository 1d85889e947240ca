//! Sagas: writing them with types, and taking part in them.
//!
//! **Writing one**: steps are constants with the types of what they are given and of what they answer, and [`Saga::define`] puts
//! them together; see [`Saga`]. In a unit test, with the feature `kit`, `saga.verify().assert_verified()` explores it under every
//! failure (`kit::saga`). What comes out is data, the same as a manifest's `sagas` and the API's definitions.
//!
//! **Taking part**: a call of a saga that comes twice, late, or after it was undone does no harm.
//! A service hands each call of a saga to a [`Participant`], with what the call is to do. That runs in a transaction of the
//! service's own database, together with the record by which a repeat of the call is known; the rules are those of
//! [`tenon_core::saga::barrier`]. By the same constant by which the saga is written, the compiler checks what the
//! handler is given and answers:
//!
//! ```no_run
//! use tenon_sdk::saga::{Compensatable, Participant, SagaCall, Trouble, Undo, post, record};
//! use tenon_sdk::sqlx::{self, Sqlite, SqliteConnection, SqlitePool};
//!
//! record! {
//!     pub struct Stock as StockOf { sku: String, pieces: i64 }
//! }
//!
//! pub const RESERVE: Compensatable<Stock, ()> =
//!     Compensatable::new("reserve", post("inventory", "/reservations"), post("inventory", "/reservations/undo"));
//!
//! async fn take(connection: &mut SqliteConnection, stock: Stock) -> Result<(), Trouble> {
//!     let take = sqlx::query("UPDATE stock SET pieces = pieces - $2 WHERE sku = $1 AND pieces >= $2");
//!     match take.bind(&stock.sku).bind(stock.pieces).execute(connection).await?.rows_affected() {
//!         0 => Err(Trouble::refused(format!("there are not {} of {}", stock.pieces, stock.sku))),
//!         _ => Ok(()),
//!     }
//! }
//!
//! async fn put_back(connection: &mut SqliteConnection, stock: Stock, _: Undo<()>) -> Result<(), Trouble> {
//!     let put = sqlx::query("UPDATE stock SET pieces = pieces + $2 WHERE sku = $1");
//!     put.bind(stock.sku).bind(stock.pieces).execute(connection).await?;
//!     Ok(())
//! }
//!
//! # async fn serve(pool: SqlitePool, headers: std::collections::BTreeMap<String, String>, body: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! let participant = Participant::<Sqlite>::new(pool).await?;
//! let call = SagaCall::read(|name| headers.get(name).map(String::as_str))?.ok_or("no saga calls")?;
//! let answer = participant.step(&RESERVE, &call, body, take, put_back).await?;
//! println!("{} {}", answer.status(), answer.body());
//! # Ok(())
//! # }
//! ```
//!
//! [`Participant::run`] does the same for a saga that was written elsewhere. The same function serves doing and undoing:
//! [`SagaCall::direction`] says which it is. Undoing that is refused is not recorded, and comes again.
//!
//! Over gRPC, [`SagaCall::of`] reads a request's metadata and [`Participant::unary`] answers with a message.
//!
//! A service that keeps its data as events answers with [`Aggregates::take_part`](crate::Aggregates::take_part), where the record is in
//! the same append as the command's events.
//!
//! Left out on purpose: servers of HTTP, of which there are many. What a service in another language does is in
//! `docs/sagas.md`.

mod call;
mod client;
mod handle;
mod records;
mod typed;
mod unary;

pub use call::{InvalidCall, SagaCall};
pub use client::{Ended, Run, SagaClient, SagaError};
pub use handle::GoesForward;
pub use records::Records;
pub use tenon_api::http::{SagaState, SagaView};
pub use tenon_core::priority::Priority;
pub use tenon_core::retry::{Backoff, Delay, Jitter};
pub use tenon_core::saga::{Direction, OnUndoFailure, Retry};
pub use tenon_core::{Refusal, SagaId};
pub use typed::{
    Any, Child, Compensatable, Draft, Expressions, Finished, Forward, Head, Pivot, Retriable, Saga, Sent,
    Shape, Signal, Slot, Target, Undo, Undoable, Undoing, Value, delete, get, grpc, http, post, put,
};

pub use crate::__saga_plain as plain;
pub use crate::__saga_record as record;
#[doc(hidden)]
pub use serde;

use serde_json::Value as Json;
use sqlx::{Connection, Pool, Transaction};
use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tenon_core::saga::barrier::{Ask, Record, Verdict, arrive, settle};

/// What a call that was never answered comes too late for.
pub(crate) const TOO_LATE: &str = "the step was undone before this call came";

/// A service that takes part in sagas, with its records in a table of its database, `tenon_barrier`.
#[derive(Debug, Clone)]
pub struct Participant<D: Records> {
    pool: Pool<D>,
}

/// What a call is answered with.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It was done, now or before, or there was nothing to undo.
    Done(Json),
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
        effect: impl AsyncFnOnce(&mut D::Connection) -> Result<Json, Trouble>,
    ) -> Result<Answer, Trouble> {
        self.run_knowing(call, async move |connection: &mut D::Connection, _| effect(connection).await).await
    }

    /// The same with an effect that is told what was answered before: by what is undone.
    async fn run_knowing(
        &self,
        call: &SagaCall,
        effect: impl AsyncFnOnce(&mut D::Connection, Option<String>) -> Result<Json, Trouble>,
    ) -> Result<Answer, Trouble> {
        let mut transaction = self.pool.begin().await?;
        let kept = D::look(&mut transaction, call, now()).await?;
        let ask = call.ask();
        let (answer, succeeded) = match arrive(kept.record, ask) {
            // What is known does not change; that the call came is kept.
            verdict @ (Verdict::Repeat | Verdict::RepeatRefusal | Verdict::Hanging) => {
                let answer = again(verdict, ask, kept.answer)?;
                transaction.commit().await?;
                return Ok(answer);
            }
            Verdict::Run => match attempt(&mut transaction, kept.answer, effect).await {
                Ok(output) => (Answer::Done(output), true),
                // What undoes is owed: it comes again.
                Err(Trouble::Refused(reason)) if ask == Ask::Undo => {
                    transaction.commit().await?;
                    return Ok(Answer::Refused(reason));
                }
                Err(Trouble::Refused(reason)) => (Answer::Refused(reason), false),
                Err(failed) => return Err(failed),
            },
            Verdict::NothingToUndo => (Answer::Done(Json::Null), true),
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

/// What a call is answered with that is not carried out.
fn again(verdict: Verdict, ask: Ask, answered: Option<String>) -> Result<Answer, Trouble> {
    match verdict {
        Verdict::RepeatRefusal => Ok(Answer::Refused(answered.unwrap_or_default())),
        Verdict::Hanging => Ok(Answer::Refused(TOO_LATE.to_owned())),
        _ if ask == Ask::Undo => Ok(Answer::Done(Json::Null)),
        _ => parsed(answered.as_deref()).map(Answer::Done),
    }
}

/// Runs the effect so that what it wrote is taken back if it does not succeed.
async fn attempt<D: Records>(
    transaction: &mut Transaction<'_, D>,
    answered: Option<String>,
    effect: impl AsyncFnOnce(&mut D::Connection, Option<String>) -> Result<Json, Trouble>,
) -> Result<Json, Trouble> {
    let mut inner = Connection::begin(&mut **transaction).await?;
    match effect(&mut inner, answered).await {
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

fn parsed(answer: Option<&str>) -> Result<Json, Trouble> {
    answer.map_or(Ok(Json::Null), |text| serde_json::from_str(text).map_err(Trouble::failed))
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

    /// The service decides against it, and says so in a problem document (RFC 9457) of its own.
    pub fn problem(document: &Json) -> Self {
        Self::Refused(document.to_string())
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
    pub fn body(&self) -> Json {
        match self {
            Self::Done(output) => output.clone(),
            Self::Refused(reason) => match serde_json::from_str(reason) {
                Ok(Json::Object(own)) => Json::Object(own),
                _ => serde_json::json!({"status": 422, "title": "Refused", "detail": reason}),
            },
        }
    }
}

#[cfg(test)]
mod tests;
