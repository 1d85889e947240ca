//! A saga's stream: reading it, and appending to it on condition that nobody else has.

use super::MAX_DATA;
use super::names::{event_type, id_of, stream_of, tag, trace_tag, turn_tag};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tenon_api::saga::{Beginning, ENDED, Progress, STARTED, STEPPED, TOLD};
use tenon_core::saga::{Cause, Data, Event, Goal, Instance, StepIx};
use tenon_core::trace::Parent;
use tenon_core::{Actor, Code, Namespace, Position, Refusal, SagaId, ServerId, Timestamp};
use tenon_store::log::{Changed, END};
use tenon_store::{AppendError, Condition, Direction, Log, NewEvent, Query, QueryItem, ReadError};

/// How often an append is repeated whose answer was lost, by somebody who waits for it.
const REPEATS: u32 = 5;

/// Who has written what no server has as a saga's owner.
pub(super) const NOBODY: ServerId = ServerId::from_bytes([0; 16]);

/// How long to wait before an append that failed is repeated: at first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// A saga, as its stream has it.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub(super) beginning: Arc<Beginning>,
    pub(super) instance: Instance,
    /// Where it began.
    pub(super) first: Position,
    /// Where its last event is.
    pub(super) last: Position,
    /// What was said when a step failed, the last time that it did.
    pub(super) problems: BTreeMap<StepIx, Data>,
    /// When it was turned back, if it was before it was read.
    pub(super) turned_back: Option<Timestamp>,
}

impl Loaded {
    /// What was said whose failure turned it back.
    pub(super) fn problem(&self) -> Option<&Data> {
        match self.instance.goal() {
            Goal::Back(Cause::Failed(step)) => self.problems.get(&step),
            _ => None,
        }
    }
}

/// What happened to a saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub time: Timestamp,
    /// Where in the log.
    pub position: Position,
    /// Who caused it, if it was somebody.
    pub actor: Option<Actor>,
    /// What.
    pub event: Event,
    /// What was said, if it is that an attempt failed.
    pub problem: Option<Data>,
}

/// What a stream holds.
pub(super) enum Found {
    /// A saga.
    Saga(Box<Loaded>),
    /// One that was reverted before it began, and never will.
    Never,
    /// Nothing.
    Nothing,
}

/// Why an append did not succeed.
#[derive(Debug)]
pub(super) enum Failed {
    /// Somebody else's came before.
    Stale,
    /// The log did not take it.
    Log(Refusal),
}

impl From<Failed> for Refusal {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Stale => Self::new(Code::ServerOffDuty, "another server has the saga now; ask again"),
            Failed::Log(refusal) => refusal,
        }
    }
}

/// What a stream says, as far as it was read.
#[derive(Default)]
struct Told {
    beginning: Option<Beginning>,
    entries: Vec<Entry>,
}

impl Told {
    fn takes(&mut self, event: &tenon_store::Event) -> Result<(), Refusal> {
        let progress = Progress::decode(&event.data).map_err(|error| {
            let detail = format!("the event at position {} cannot be understood: {error}", event.position);
            Refusal::new(Code::DataNewerVersion, detail)
        })?;
        self.beginning = self.beginning.take().or(progress.beginning);
        let mut problem = progress.problem.as_deref().map(Data::new);
        let entry = |happened| Entry {
            time: event.time,
            position: event.position,
            actor: event.metadata.actor.clone(),
            event: happened,
            problem: problem.take(),
        };
        self.entries.extend(progress.events.into_iter().map(entry));
        Ok(())
    }

    fn found(self) -> Found {
        let Self { beginning, entries } = self;
        let Some(beginning) = beginning else { return Found::Nothing };
        let Some(instance) = Instance::fold(entries.iter().map(|entry| &entry.event)) else {
            return Found::Never;
        };
        let first = entries.first().map_or(Position::START, |entry| entry.position);
        let last = entries.last().map_or(Position::START, |entry| entry.position);
        let turns = |entry: &&Entry| matches!(entry.event, Event::TurnedBack { .. } | Event::Reverted);
        let turned_back = entries.iter().rfind(turns).map(|entry| entry.time);
        let problems = entries.into_iter().filter_map(|entry| Some((failed(&entry.event)?, entry.problem?)));
        let (beginning, problems) = (Arc::new(beginning), problems.collect());
        Found::Saga(Box::new(Loaded { beginning, instance, first, last, problems, turned_back }))
    }
}

/// Reads streams of sagas.
async fn told(log: &Arc<dyn Log>, ids: &[SagaId]) -> Result<BTreeMap<SagaId, Told>, Refusal> {
    let query = unchanged(ids, Position::START).query;
    let mut told: BTreeMap<SagaId, Told> = BTreeMap::new();
    let mut from = Position::START;
    loop {
        let page = log.read(query.clone(), from, Direction::Forward, usize::MAX).await.map_err(unread)?;
        for event in page.events {
            if let Some(id) = id_of(&event.stream) {
                told.entry(id).or_default().takes(&event)?;
            }
        }
        from = page.next;
        if page.at_end {
            return Ok(told);
        }
    }
}

/// Reads everything that happened to a saga.
pub(super) async fn history(
    log: &Arc<dyn Log>,
    id: SagaId,
) -> Result<(Option<Beginning>, Vec<Entry>), Refusal> {
    let Told { beginning, entries } = told(log, &[id]).await?.remove(&id).unwrap_or_default();
    Ok((beginning, entries))
}

/// Reads a saga.
pub(super) async fn load(log: &Arc<dyn Log>, id: SagaId) -> Result<Found, Refusal> {
    Ok(told(log, &[id]).await?.remove(&id).unwrap_or_default().found())
}

/// Reads sagas, not more at once than a query may name.
pub(super) async fn load_all(log: &Arc<dyn Log>, ids: &[SagaId]) -> Result<Vec<(SagaId, Found)>, Refusal> {
    Ok(told(log, ids).await?.into_iter().map(|(id, told)| (id, told.found())).collect())
}

/// The step of which an attempt failed, if that is what happened.
pub(super) fn failed(event: &Event) -> Option<StepIx> {
    match event {
        Event::Deferred { token, .. }
        | Event::GaveUp { token, .. }
        | Event::Parked { token, .. }
        | Event::LeftBehind { token, .. } => Some(token.step),
        _ => None,
    }
}

/// Reads a saga that cannot go on before: until it was read, or never can be.
pub(super) async fn load_at_last(log: &Arc<dyn Log>, id: SagaId) -> Result<Found, Refusal> {
    let mut wait = AGAIN.0;
    loop {
        match load(log, id).await {
            Err(refusal) if may_pass(&refusal) => {
                tracing::debug!(saga = %id, %refusal, "a saga waits until it can be read");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(AGAIN.1);
            }
            loaded => return loaded,
        }
    }
}

/// Whether reading fails for a reason that may be gone the next time.
pub(super) fn may_pass(refusal: &Refusal) -> bool {
    matches!(refusal.code, Code::Internal | Code::LogUnavailable | Code::ServerTimeout)
}

pub(super) fn unread(error: ReadError) -> Refusal {
    crate::events::error::Error::from(error).into()
}

/// What is appended to a saga's stream.
pub(super) struct Writing<'a> {
    pub(super) id: SagaId,
    pub(super) beginning: &'a Beginning,
    /// Whether the saga begins with it.
    pub(super) first: bool,
    pub(super) events: &'a [Event],
    /// Who writes; nobody, if whoever owns the saga is to take it up.
    pub(super) server: Option<ServerId>,
    /// Whether it is written by somebody other than its owner.
    pub(super) told: bool,
    pub(super) actor: Option<Actor>,
    /// What was said, if they begin with an attempt that failed.
    pub(super) problem: Option<&'a Data>,
}

impl Writing<'_> {
    /// The events: one, unless it would be too large.
    pub(super) fn to_events(&self) -> Vec<NewEvent> {
        let mut parts: Vec<Vec<Event>> = vec![Vec::new()];
        let mut size = 0;
        for event in self.events {
            size += data_of(event).map_or(0, |data| data.as_str().len());
            if size > 2 * MAX_DATA {
                size = 0;
                parts.push(Vec::new());
            }
            if let Some(part) = parts.last_mut() {
                part.push(event.clone());
            }
        }
        let last = parts.len() - 1;
        parts
            .into_iter()
            .enumerate()
            .map(|(index, part)| self.event(part, index == 0, index == last))
            .collect()
    }

    fn event(&self, events: Vec<Event>, first: bool, last: bool) -> NewEvent {
        let ends = last && matches!(events.last(), Some(Event::Ended { .. }));
        let begins = self.first && first;
        let of = match (begins, ends) {
            (true, _) => STARTED,
            (false, true) => ENDED,
            (false, false) if self.told => TOLD,
            (false, false) => STEPPED,
        };
        let in_turn = self.beginning.turn.as_ref().filter(|_| events.iter().any(begins_turn));
        let progress = Progress {
            beginning: begins.then(|| self.beginning.clone()),
            events,
            server: self.server.unwrap_or(NOBODY),
            problem: self.problem.filter(|_| first).map(|problem| problem.as_str().to_owned()),
        };
        let mut event =
            NewEvent::new(Namespace::default(), stream_of(self.id), event_type(of), progress.encode());
        if begins || ends {
            event.tags.insert(tag(&self.beginning.namespace, &self.beginning.name));
        }
        if let Some(turn) = in_turn {
            event.tags.insert(turn_tag(&self.beginning.namespace, &self.beginning.name, turn));
        }
        event.metadata.actor.clone_from(&self.actor);
        if begins {
            let own = u128::from_be_bytes(*self.id.as_bytes());
            if self.beginning.trace != own && self.beginning.parent.is_none() {
                event.tags.insert(trace_tag(self.beginning.trace));
            }
            event.metadata.traceparent = self.traceparent().map(Into::into);
        }
        event
    }

    fn traceparent(&self) -> Option<String> {
        let span = super::names::span(self.id, "saga");
        let parent = Parent { trace: self.beginning.trace, span, flags: 1 };
        String::from_utf8(parent.to_bytes().to_vec()).ok()
    }
}

/// Whether it is a saga's turn from then on.
fn begins_turn(event: &Event) -> bool {
    matches!(event, Event::Started { queued: false, .. } | Event::Admitted)
}

/// Whose turn it is or was last, and since where in the log.
pub(super) async fn last_turn(
    log: &Arc<dyn Log>,
    of: &Beginning,
) -> Result<Option<(SagaId, Position)>, Refusal> {
    let Some(item) = turns_of(of) else { return Ok(None) };
    let last = last_of(log, Query::reserved().within(Namespace::default()).or(item)).await?;
    Ok(last.and_then(|event| Some((id_of(&event.stream)?, event.position))))
}

/// Where the last event of any of these sagas is.
pub(super) async fn last_event(log: &Arc<dyn Log>, ids: &[SagaId]) -> Result<Position, Refusal> {
    let last = last_of(log, unchanged(ids, Position::START).query).await?;
    Ok(last.map_or(Position::START, |event| event.position))
}

async fn last_of(log: &Arc<dyn Log>, query: Query) -> Result<Option<tenon_store::Event>, Refusal> {
    let mut from = END;
    loop {
        let page = log.read(query.clone(), from, Direction::Backward, 1).await.map_err(unread)?;
        match page.events.into_iter().next() {
            None if !page.at_end => from = page.next,
            last => return Ok(last),
        }
    }
}

fn turns_of(of: &Beginning) -> Option<QueryItem> {
    let tag = turn_tag(&of.namespace, &of.name, of.turn.as_ref()?);
    Some(QueryItem { tags: [tag].into(), ..QueryItem::default() })
}

/// As [`unchanged`], and it has become nobody's turn of those that run one after the other.
pub(super) fn in_turn(ids: &[SagaId], of: &Beginning, after: Position) -> Condition {
    let Condition { mut query, after } = unchanged(ids, after);
    query.items.extend(turns_of(of));
    Condition { query, after }
}

/// Nothing was appended to these sagas after a position.
pub(super) fn unchanged(ids: &[SagaId], after: Position) -> Condition {
    let streams = ids.iter().map(|id| stream_of(*id)).collect();
    let query =
        Query::reserved().within(Namespace::default()).or(QueryItem { streams, ..QueryItem::default() });
    Condition { query, after }
}

/// Appends for somebody who waits for it.
pub(super) async fn append(
    log: &Arc<dyn Log>,
    events: Vec<NewEvent>,
    condition: Condition,
) -> Result<Position, Failed> {
    let mut repeats = 0;
    loop {
        match log.append(events.clone(), Some(condition.clone())).await {
            Ok(appended) => return Ok(appended.last()),
            Err(AppendError::Conflict { .. }) => return Err(Failed::Stale),
            Err(error) if error.changed() == Changed::Unknown && repeats < REPEATS => repeats += 1,
            Err(error) => return Err(Failed::Log(crate::events::error::Error::from(error).into())),
        }
    }
}

/// Appends what must be appended before a saga can go on: until it is, or never can be.
pub(super) async fn append_at_last(
    log: &Arc<dyn Log>,
    events: Vec<NewEvent>,
    condition: Condition,
) -> Result<Position, Failed> {
    let mut wait = AGAIN.0;
    loop {
        match log.append(events.clone(), Some(condition.clone())).await {
            Ok(appended) => return Ok(appended.last()),
            Err(AppendError::Conflict { .. }) => return Err(Failed::Stale),
            Err(
                error @ (AppendError::Unknown(_)
                | AppendError::Full
                | AppendError::Io(_)
                | AppendError::Unavailable(_)),
            ) => {
                tracing::debug!(%error, "a saga waits until the log takes its events");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(AGAIN.1);
            }
            Err(error) => return Err(Failed::Log(crate::events::error::Error::from(error).into())),
        }
    }
}

fn data_of(event: &Event) -> Option<&Data> {
    match event {
        Event::Started { input: data, .. }
        | Event::Signalled { data, .. }
        | Event::Edited { input: data, .. } => Some(data),
        Event::Succeeded { output, .. } | Event::SettledByHand { output, .. } => output.as_ref(),
        _ => None,
    }
}
