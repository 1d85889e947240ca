//! Commands that read several states: the dynamic consistency boundary.
//!
//! A rule does not always fit into one aggregate ("a course has places left, *and* the student is in fewer than
//! ten"). A [`Decision`] names the states that it reads, each folded from the events with some tags or of some
//! streams. From that the query and the condition of the append follow: all states are folded from one read up
//! to a position, and the events are appended only if nothing that the query selects came after it. So nobody
//! locks anything, and two decisions compete only if they read what the other writes.
//!
//! ```text
//! reads: (Part<Course> tagged course:7, Part<Student> tagged student:ada)
//!   query     = tagged course:7  or  tagged student:ada
//!   states    = both folded from the query's events up to P
//!   condition = no event of the query after P
//! ```
//!
//! An event should match what its decision reads (carry its tags), or two equal decisions do not see each other.
//!
//! Left out on purpose: a cache. What a decision reads is as long as its tags' history.

mod reads;

pub use reads::{Part, Reads};

use crate::command::{Call, CommandError, Ids, MOST_CONFLICTS, MOST_SENDS, Outcome};
use crate::events::{self, Events};
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use tenon_core::{InvalidName, Namespace, Position, StreamName, Tag};
use tenon_store::{AppendError, Condition, Direction, Event, Log, NewEvent, Query, QueryItem, Scope};

/// A command with the states that it reads.
pub trait Decision: Send + Sync {
    /// Its name, which idempotency keys belong to, for example `courses.Subscribe`.
    const NAME: &'static str;
    /// What it reads: a [`Part`], or a tuple of what it reads.
    type Reads: Reads;
    /// What it leads to.
    type Event: Events;
    /// Why it is refused.
    type Error: Error + Send + Sync + 'static;

    /// What this command reads.
    ///
    /// # Errors
    /// [`InvalidName`] if a tag or a stream cannot be called so.
    fn reads(&self) -> Result<Self::Reads, InvalidName>;

    /// The stream that an event goes to.
    ///
    /// # Errors
    /// [`InvalidName`] if it cannot be called so.
    fn stream(&self, event: &Self::Event) -> Result<StreamName, InvalidName>;

    /// What the command leads to in these states.
    ///
    /// # Errors
    /// The refusal. Nothing has changed.
    fn decide(&self, states: &State<Self>) -> Result<Vec<Self::Event>, Self::Error>;
}

/// The states that a decision reads.
pub type State<D> = <<D as Decision>::Reads as Reads>::State;

/// What [`Decisions::execute`] answers.
pub type Answer<D> = Result<Outcome<State<D>, <D as Decision>::Event>, CommandError<<D as Decision>::Error>>;

/// Carries out decisions on a log. Cheap to clone.
#[derive(Clone)]
pub struct Decisions {
    log: Arc<dyn Log>,
    namespace: Namespace,
}

/// States as of a position, and the command with this key if it was given before.
struct Seen<S> {
    states: S,
    /// The last event that is in the states.
    version: Position,
    /// Up to where the log was looked at.
    read_to: Position,
    first: Option<Position>,
}

impl fmt::Debug for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decisions").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Decisions {
    /// Decisions on the events of a namespace.
    pub fn new(log: Arc<dyn Log>, namespace: Namespace) -> Self {
        Self { log, namespace }
    }

    /// Decides on what is there and appends what follows. Durable when it returns. A version that the call
    /// expects is that of the last event which the decision reads.
    ///
    /// # Errors
    /// [`CommandError`]. Nothing was appended, unless it is [`CommandError::Append`] with a lost answer: then
    /// giving the command again with the same key tells.
    pub async fn execute<D: Decision>(&self, decision: &D, call: &Call) -> Answer<D> {
        let reads = decision.reads()?;
        let ids = Ids::new(&self.namespace, D::NAME, call.key.as_ref());
        let query = self.query(&reads, ids.tag()?);
        for _ in 0..=MOST_CONFLICTS {
            let seen = self.read::<D>(&reads, &query, &ids, Position(u64::MAX)).await?;
            if let Some(first) = seen.first {
                return self.repeat(&reads, &query, &ids, first).await;
            }
            if let Some(expected) = call.expected
                && expected != seen.version
            {
                return Err(CommandError::Stale { expected, found: seen.version });
            }
            let events = decision.decide(&seen.states).map_err(CommandError::Refused)?;
            if events.is_empty() {
                return Ok(Outcome { state: seen.states, events, version: seen.version, repeated: false });
            }
            let new = events::all_of(&events, &self.namespace, call, &ids, |event| decision.stream(event))?;
            let condition = Condition { query: query.clone(), after: seen.read_to };
            if let Some(version) = self.send(&new, condition, &ids).await? {
                // What others are told comes before, and may be read as any other event.
                let state = reads.after(seen.states, &as_recorded(&new, version))?;
                return Ok(Outcome { state, events, version, repeated: false });
            }
        }
        Err(CommandError::Conflict(MOST_CONFLICTS))
    }

    /// The states that something reads, as of now or of an earlier position, and the last event in them.
    ///
    /// # Errors
    /// [`CommandError::Read`] or [`CommandError::Events`].
    pub async fn load<R: Reads, E: Error>(
        &self,
        reads: &R,
        until: Position,
    ) -> Result<(R::State, Position), CommandError<E>> {
        let query = self.query(reads, None);
        let seen = self.fold(reads, &query, None, until).await?;
        Ok((seen.states, seen.version))
    }

    /// All that the states are folded from, and the event that would show that the command was given before.
    fn query(&self, reads: &impl Reads, tag: Option<Tag>) -> Query {
        let mut items = reads.items();
        items.extend(tag.map(|tag| QueryItem { tags: [tag].into(), ..QueryItem::default() }));
        Query { scope: Scope::User, namespace: Some(self.namespace.clone()), items }
    }

    async fn read<D: Decision>(
        &self,
        reads: &D::Reads,
        query: &Query,
        ids: &Ids,
        until: Position,
    ) -> Result<Seen<State<D>>, CommandError<D::Error>> {
        self.fold(reads, query, ids.are_derived().then_some(ids), until).await
    }

    async fn fold<R: Reads, E: Error>(
        &self,
        reads: &R,
        query: &Query,
        ids: Option<&Ids>,
        until: Position,
    ) -> Result<Seen<R::State>, CommandError<E>> {
        let first_id = ids.map(|ids| ids.id(0));
        let start = Position::START;
        let mut seen = Seen { states: reads.initial(), version: start, read_to: start, first: None };
        loop {
            let page = self.log.read(query.clone(), seen.read_to, Direction::Forward, usize::MAX).await?;
            let wanted = page.events.iter().take_while(|event| event.position <= until).count();
            let (wanted, rest) = page.events.split_at(wanted);
            seen.states = reads.after(seen.states, wanted)?;
            for event in wanted {
                seen.version = if reads.selects(event) { event.position } else { seen.version };
                if Some(event.id) == first_id {
                    seen.first = Some(event.position);
                }
            }
            seen.read_to = page.next;
            if page.at_end || !rest.is_empty() {
                return Ok(seen);
            }
        }
    }

    /// Appends on a condition: the position of the last event, none if the condition does not hold or the
    /// events are there already.
    async fn send<E: Error>(
        &self,
        new: &[NewEvent],
        condition: Condition,
        ids: &Ids,
    ) -> Result<Option<Position>, CommandError<E>> {
        let (mut sends, mut lost) = (1, None);
        loop {
            match self.log.append(new.to_vec(), Some(condition.clone())).await {
                // Without a key a repetition is this very append, whose answer was lost.
                Ok(appended) if appended.duplicate && ids.are_derived() => return Ok(None),
                Ok(appended) => return Ok(Some(appended.last())),
                Err(AppendError::Conflict { .. }) => return Ok(None),
                Err(AppendError::DuplicateId { .. }) if ids.are_derived() => return Ok(None),
                Err(error @ AppendError::Unknown(_)) if sends < MOST_SENDS => {
                    (sends, lost) = (sends + 1, Some(error));
                }
                // What became of an earlier sending stays unknown, whatever this one says.
                Err(error) => return Err(CommandError::Append(lost.unwrap_or(error))),
            }
        }
    }

    /// The outcome of the command whose first event is at this position. Its events stand next to each other in
    /// the log, in whichever streams.
    async fn repeat<R: Reads, V: Events, E: Error>(
        &self,
        reads: &R,
        query: &Query,
        ids: &Ids,
        first: Position,
    ) -> Result<Outcome<R::State, V>, CommandError<E>> {
        let all = Query::user().within(self.namespace.clone());
        let before = Position(first.0.saturating_sub(1));
        let page = self.log.read(all, before, Direction::Forward, usize::MAX).await?;
        let own = page.events.iter().zip(0..).take_while(|(event, index)| event.id == ids.id(*index));
        let (mut events, mut version) = (Vec::new(), first);
        for (event, _) in own {
            version = event.position;
            events.extend(events::decode(event)?);
        }
        let seen = self.fold(reads, query, None, version).await?;
        Ok(Outcome { state: seen.states, events, version, repeated: true })
    }
}

/// What was just appended as the log has it, for folding.
fn as_recorded(new: &[NewEvent], last: Position) -> Vec<Event> {
    let first = last.0.saturating_sub(new.len() as u64).saturating_add(1);
    let recorded = |(new, position): (&NewEvent, u64)| {
        new.clone().into_event(Position(position), tenon_core::Timestamp::ZERO)
    };
    new.iter().zip(first..).map(recorded).collect()
}

#[cfg(test)]
mod tests;
