//! Taking part in sagas with aggregates: what a call leads to and the record by which a repeat of it is known are appended
//! together.
//!
//! The records of a step are a stream of their own, `sagas/barrier/SAGA/STEP`, so an aggregate's state knows nothing of sagas. The
//! append is on condition that neither stream has changed since it was read. The rules are those of
//! [`tenon_core::saga::barrier`].

use super::{Aggregates, Decider, Loaded, before};
use crate::command::{Call, CommandError, Ids, MOST_CONFLICTS, MOST_SENDS};
use crate::events::{self, Events, Fact, Json};
use crate::saga::{Answer, SagaCall, TOO_LATE, Trouble};
use futures_util::future;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::error::Error;
use tenon_core::saga::barrier::{Ask, Record, Verdict, arrive, settle};
use tenon_core::{Position, StreamName};
use tenon_store::{
    AppendError, Appended, Condition, Direction, NewEvent, Query, QueryItem, ReadError, Scope,
};

/// What is kept of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kept {
    /// It was done, and answered so.
    Done { answer: Value },
    /// It was refused, under the key of this round.
    Refused { round: u32, reason: String },
    /// It was undone, or was to be undone before it came.
    Undone {},
}

impl Events for Kept {
    type Codec = Json;
    const AREA: &'static str = "sagas.barrier";
    const FACTS: &'static [Fact] = &[Fact::v1("Done"), Fact::v1("Refused"), Fact::v1("Undone")];
}

/// What is known of a step, as of a position.
struct Known {
    last: Option<Kept>,
    read_to: Position,
}

/// What a call leads to.
struct Decided<E> {
    events: Vec<E>,
    answer: Answer,
    succeeded: bool,
}

impl<D: Decider> Aggregates<D> {
    /// Answers a call of a saga: gives the command if the call is to be carried out, and otherwise says again what was said
    /// before. The command's events and the record of the call are there together or not at all.
    ///
    /// `told` says what the call is answered with: by the state after the command, or by its refusal. It may say that a refusal
    /// is none for good ([`Trouble::Failed`]), and then nothing is recorded. What it answers is kept, and is never forgotten with
    /// anybody: no personal data.
    ///
    /// Where a step is undone, the command is what undoes it. If that is refused, nothing is recorded, and it comes again.
    ///
    /// # Errors
    /// [`Trouble::Failed`]; a refusal is an [`Answer`].
    pub async fn take_part(
        &self,
        call: &SagaCall,
        id: &str,
        command: &D::Command,
        told: impl Fn(Result<&D::State, D::Error>) -> Result<Value, Trouble>,
    ) -> Result<Answer, Trouble> {
        let stream = self.stream(id).map_err(Trouble::failed)?;
        let records = StreamName::new(&format!("sagas/barrier/{}/{}", call.saga, call.step));
        let records = records.map_err(Trouble::failed)?;
        let slot = self.cache.slot(&stream);
        let mut slot = slot.lock().await;
        let mut conflicts = 0;
        while conflicts <= MOST_CONFLICTS {
            // Beside each other, since each is a way to the log and back. So no decision is by a state that may be old.
            let (known, current) =
                future::join(self.known(&records), self.current(&stream, slot.take())).await;
            let (known, mut loaded) = (known?, current.map_err(failed)?);
            let (record, ask) = (known.record(), call.ask());
            match arrive(record, ask) {
                Verdict::Run => {}
                Verdict::NothingToUndo => {
                    *slot = loaded.keepable();
                    let undone = [Kept::Undone {}];
                    if self.keep(&undone, Vec::new(), &records, None, known.read_to).await?.is_some() {
                        return Ok(Answer::Done(Value::Null));
                    }
                    conflicts += 1;
                    continue;
                }
                verdict => {
                    *slot = loaded.keepable();
                    return Ok(known.repeated(verdict));
                }
            }
            let decided = self.decide_for(&stream, command, &loaded, ask, &told);
            let Decided { events, answer, succeeded } = match decided {
                Ok(decided) if decided.succeeded || ask != Ask::Undo => decided,
                other => {
                    *slot = loaded.keepable();
                    return other.map(|decided| decided.answer);
                }
            };
            let kept = [Kept::of(settle(record, ask, succeeded), &answer)];
            let ids = Ids::new(&self.namespace, stream.as_str(), None);
            let own =
                events::all_of(&events, &self.namespace, &Call::default(), &ids, |_| Ok(stream.clone()));
            let own = own.map_err(failed::<D::Error>)?;
            let after = known.read_to.min(loaded.read_to);
            match self.keep(&kept, own, &records, Some(&stream), after).await? {
                Some(appended) => {
                    if !events.is_empty() {
                        loaded = loaded.append::<D>(&events, &appended, None);
                        self.keep_snapshot(&stream, &mut loaded);
                    }
                    *slot = loaded.keepable();
                    return Ok(answer);
                }
                None => *slot = loaded.keepable(),
            }
            conflicts += 1;
        }
        Err(Trouble::failed(CommandError::<D::Error>::Conflict(conflicts)))
    }

    /// An aggregate as it is: what is kept of it, and what came since.
    async fn current(
        &self,
        stream: &StreamName,
        kept: Option<Loaded<D::State>>,
    ) -> Result<Loaded<D::State>, CommandError<D::Error>> {
        match kept {
            Some(loaded) => self.catch_up(stream, loaded).await,
            None => self.read(stream).await,
        }
    }

    fn decide_for(
        &self,
        stream: &StreamName,
        command: &D::Command,
        loaded: &Loaded<D::State>,
        ask: Ask,
        told: impl Fn(Result<&D::State, D::Error>) -> Result<Value, Trouble>,
    ) -> Result<Decided<D::Event>, Trouble> {
        let (events, answer) = match self.decide(stream, command, &Call::default(), loaded) {
            Ok(events) => {
                let state = events.iter().fold(loaded.state.clone(), D::evolve);
                let answer = told(Ok(&state));
                (events, answer)
            }
            Err(CommandError::Refused(refusal)) => (Vec::new(), told(Err(refusal))),
            Err(other) => return Err(failed(other)),
        };
        match answer {
            Ok(_) if ask == Ask::Undo => {
                Ok(Decided { events, answer: Answer::Done(Value::Null), succeeded: true })
            }
            Ok(output) => Ok(Decided { events, answer: Answer::Done(output), succeeded: true }),
            Err(Trouble::Refused(reason)) => {
                Ok(Decided { events: Vec::new(), answer: Answer::Refused(reason), succeeded: false })
            }
            Err(trouble) => Err(trouble),
        }
    }

    async fn known(&self, records: &StreamName) -> Result<Known, Trouble> {
        let query = Query::stream(self.namespace.clone(), records.clone());
        let (mut last, mut from) = (None, Position::START);
        loop {
            let page = match self.log.read(query.clone(), from, Direction::Forward, usize::MAX).await {
                // What came before is kept no more: it is of sagas that have ended.
                Err(ReadError::Truncated { first }) if before(first) > from => {
                    from = before(first);
                    continue;
                }
                page => page.map_err(Trouble::failed)?,
            };
            if let Some(event) = page.events.last() {
                last = events::decode::<Kept>(event).map_err(Trouble::failed)?;
            }
            from = page.next;
            if page.at_end {
                return Ok(Known { last, read_to: from });
            }
        }
    }

    /// Appends a record, and what belongs to it; none if a stream that it depends on has changed, or is no longer kept so far back.
    async fn keep(
        &self,
        kept: &[Kept; 1],
        mut own: Vec<NewEvent>,
        records: &StreamName,
        stream: Option<&StreamName>,
        after: Position,
    ) -> Result<Option<Appended>, Trouble> {
        let ids = Ids::new(&self.namespace, records.as_str(), None);
        let new = events::all_of(kept, &self.namespace, &Call::default(), &ids, |_| Ok(records.clone()));
        let mut new = new.map_err(failed::<D::Error>)?;
        // Last is what the aggregate's version is the position of.
        new.append(&mut own);
        let streams = [records].into_iter().chain(stream).cloned().collect();
        let items = vec![QueryItem { streams, ..QueryItem::default() }];
        let query = Query { scope: Scope::User, namespace: Some(self.namespace.clone()), items };
        let condition = Condition { query, after };
        let (mut sends, mut lost) = (1, None);
        loop {
            match self.log.append(new.clone(), Some(condition.clone())).await {
                Ok(appended) => return Ok(Some(appended)),
                Err(AppendError::Conflict { .. } | AppendError::Truncated { .. }) => return Ok(None),
                Err(error @ AppendError::Unknown(_)) if sends < MOST_SENDS => {
                    (sends, lost) = (sends + 1, Some(error));
                }
                Err(error) => return Err(Trouble::failed(lost.unwrap_or(error))),
            }
        }
    }
}

impl Known {
    fn record(&self) -> Record {
        match &self.last {
            None => Record::Nothing,
            Some(Kept::Done { .. }) => Record::Done,
            Some(Kept::Refused { round, .. }) => Record::Refused(*round),
            Some(Kept::Undone {}) => Record::Undone,
        }
    }

    /// What is answered to a call that is not carried out.
    fn repeated(self, verdict: Verdict) -> Answer {
        match (verdict, self.last) {
            (Verdict::Hanging, _) => Answer::Refused(TOO_LATE.to_owned()),
            (_, Some(Kept::Done { answer })) => Answer::Done(answer),
            (_, Some(Kept::Refused { reason, .. })) => Answer::Refused(reason),
            (_, Some(Kept::Undone {}) | None) => Answer::Done(Value::Null),
        }
    }
}

impl Kept {
    fn of(record: Record, answer: &Answer) -> Self {
        match (record, answer) {
            (Record::Refused(round), Answer::Refused(reason)) => {
                Self::Refused { round, reason: reason.clone() }
            }
            (Record::Done, Answer::Done(answer)) => Self::Done { answer: answer.clone() },
            _ => Self::Undone {},
        }
    }
}

fn failed<R: Error + Send + Sync + 'static>(error: CommandError<R>) -> Trouble {
    Trouble::failed(error)
}

#[cfg(test)]
mod tests;
