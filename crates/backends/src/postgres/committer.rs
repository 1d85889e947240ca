//! The committer: the task that drains the commit queue, and commits all that waits as one group.
//!
//! It has a connection of its own, which it opens anew when it broke. A group that failed in passing is tried again
//! for as long as the log's patience lasts: ids make that safe even after a commit whose answer was lost, for either
//! it is found to have been made, or it was not and is made now. Only when patience has run out is the outcome told to
//! be unknown.

use super::connect::Target;
use super::failure::{self, Failure};
use super::seen::Seen;
use super::write;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, raw_sql};
use std::sync::Arc;
use std::time::Duration;
use tenon_store::queue::{Queue, Queued, Request};
use tenon_store::{AppendError, Appended, Clock, Event};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long one attempt may take: longer than the database lets a lock be waited for.
const ATTEMPT: Duration = Duration::from_secs(20);
/// How long to wait after the first attempt that failed; twice as long after each further one, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(320);

/// What commits groups.
pub(super) struct Committer {
    pub(super) target: Target,
    pub(super) queue: Arc<Queue>,
    pub(super) seen: Arc<Seen>,
    pub(super) clock: Clock,
    /// Told when a stream was deleted.
    pub(super) deleted: Arc<Notify>,
    pub(super) patience: Duration,
    pub(super) connection: Option<PgConnection>,
}

/// How an attempt failed.
enum Failed {
    /// Nothing was committed.
    Before(Failure),
    /// The commit was asked for and its answer lost.
    Committing,
    /// The database is not that of this log any more.
    Closed(&'static str),
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self::Before(failure)
    }
}

/// The answers to a group, or why there are none.
type Answers = Result<Vec<Result<Appended, AppendError>>, AppendError>;

impl Committer {
    /// Runs until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        while let Some(group) = self.queue.next_group().await {
            self.commit(group).await;
        }
        if let Some(connection) = self.connection.take() {
            // It is over either way.
            let _ = connection.close().await;
        }
    }

    async fn commit(&mut self, group: Vec<Queued>) {
        let (mut requests, mut waiting) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
        for Queued { request, answer, room } in group {
            requests.push(request);
            waiting.push((answer, room));
        }
        let answers = match self.commit_patiently(&requests).await {
            // What the database refuses may be the fault of one append.
            Err(AppendError::Io(_)) if requests.len() > 1 => self.commit_singly(&requests).await,
            Err(error) => vec![Err(error); requests.len()],
            Ok(answers) => answers,
        };
        for ((waiting, _room), answer) in waiting.into_iter().zip(answers) {
            // Whoever asked may have gone; the append is made all the same.
            let _ = waiting.send(answer);
        }
    }

    async fn commit_singly(&mut self, requests: &[Request]) -> Vec<Result<Appended, AppendError>> {
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            let one = self.commit_patiently(std::slice::from_ref(request)).await;
            answers.push(one.and_then(|mut answers| answers.pop().unwrap_or(Err(lost()))));
        }
        answers
    }

    async fn commit_patiently(&mut self, requests: &[Request]) -> Answers {
        let patience_ends = Instant::now() + self.patience;
        let (mut pause, mut maybe_committed) = (FIRST_PAUSE, false);
        loop {
            let failure = match self.attempt(requests).await {
                Ok(answers) => return Ok(answers),
                Err(Failed::Closed(reason)) if maybe_committed => return Err(AppendError::Unknown(reason)),
                Err(Failed::Closed(reason)) => return Err(AppendError::Closed(reason)),
                Err(Failed::Committing) => {
                    maybe_committed = true;
                    None
                }
                Err(Failed::Before(failure)) => Some(failure),
            };
            // A transaction that was begun ends with its connection.
            self.connection = None;
            let passing = failure.as_ref().is_none_or(Failure::is_passing);
            if !passing || Instant::now() + pause > patience_ends || self.queue.is_closed() {
                return Err(match failure {
                    Some(failure) if !maybe_committed => failure.into(),
                    _ => lost(),
                });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(&mut self, requests: &[Request]) -> Result<Vec<Result<Appended, AppendError>>, Failed> {
        let mut committing = false;
        match tokio::time::timeout(ATTEMPT, self.transaction(requests, &mut committing)).await {
            Ok(result) => result,
            Err(_) if committing => Err(Failed::Committing),
            Err(_) => Err(Failure::timeout("appending").into()),
        }
    }

    async fn transaction(
        &mut self,
        requests: &[Request],
        committing: &mut bool,
    ) -> Result<Vec<Result<Appended, AppendError>>, Failed> {
        if let Some(reason) = self.seen.closed() {
            return Err(Failed::Closed(reason));
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.target.connect().await?),
        };
        let known = self.seen.last();
        let head = write::lock(connection).await?;
        self.seen.check(head, known).map_err(Failed::Closed)?;
        let write::Judged { events, answers } =
            write::judge(connection, head, requests, (self.clock)()).await?;
        let Some(last) = events.last() else {
            raw_sql("ROLLBACK").execute(connection).await.map_err(Failure::from)?;
            return Ok(answers);
        };
        write::write(connection, &events).await?;
        *committing = true;
        raw_sql("COMMIT").execute(connection).await.map_err(|error| match failure::is_refusal(&error) {
            true => Failed::Before(error.into()),
            false => Failed::Committing,
        })?;
        self.seen.note(last.position.0, head.first);
        if events.iter().any(Event::is_deletion) {
            self.deleted.notify_one();
        }
        Ok(answers)
    }
}

fn lost() -> AppendError {
    AppendError::Unknown("the connection to the database broke while it committed")
}
