//! What an append must satisfy, as one set of rules for every engine: bounds, idempotence, the condition,
//! and the assignment of positions and time.
//!
//! Life cycle: an engine gives each append to [`Admission::admit`], which answers with the events as they
//! will stand in the log, a repetition, or a refusal. What was admitted counts at once, so that the next
//! append of the same group is judged after it; [`Admission::undo`] takes a whole group back if it could
//! not be written, and [`Admission::settle`] makes it final.
//!
//! Public for engines outside of this crate; whoever uses a log needs nothing of it.

use crate::log::{
    AppendError, Appended, Condition, Direction, Event, InvalidInput, MAX_APPEND_BYTES, MAX_APPEND_EVENTS,
    NewEvent, ReadError,
};
use recent::RecentIds;
use std::collections::BTreeSet;
use tenon_core::{EventId, Position, Timestamp};

mod recent;

pub(crate) use recent::fingerprint;

/// What an engine must know of its past for the rules.
pub trait Past {
    /// The first event that contradicts a condition ([`Condition::contradicted_by`]), including those admitted but
    /// not yet written: where it is and its id.
    ///
    /// # Errors
    /// [`ReadError`] when the past cannot be read.
    fn first_match(&self, condition: &Condition) -> Result<Option<(Position, EventId)>, ReadError>;
    /// The ids of `count` events from a position on; fewer if there are not so many.
    ///
    /// # Errors
    /// [`ReadError`] when the past cannot be read.
    fn ids_from(&self, first: Position, count: usize) -> Result<Vec<EventId>, ReadError>;
}

/// The state that the rules need.
#[derive(Debug)]
pub struct Admission {
    last: Position,
    time: Timestamp,
    first: Position,
    recent: RecentIds,
}

/// What became of an append.
#[derive(Debug)]
pub enum Verdict {
    /// The events as they will stand in the log.
    Admitted(Vec<Event>),
    /// They are there already.
    Repeated(Appended),
}

/// Where a group began.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    last: Position,
    time: Timestamp,
}

impl Admission {
    /// The rules for a log whose last event has this position and time, and whose scavenge mark is `first`.
    pub fn new(last: Position, time: Timestamp, first: Position, remembered: usize) -> Self {
        Self { last, time, first, recent: RecentIds::new(remembered) }
    }

    /// The last position assigned.
    pub fn last(&self) -> Position {
        self.last
    }

    /// The last time assigned.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// The scavenge mark.
    pub fn first(&self) -> Position {
        self.first
    }

    /// Moves the scavenge mark.
    pub fn set_first(&mut self, first: Position) {
        self.first = self.first.max(first);
    }

    /// Notes the id of an event that was read at opening; to be called in the order of positions.
    pub fn remember(&mut self, id: EventId, position: Position) {
        self.remember_fingerprint(fingerprint(&id), position);
    }

    /// The same for an id of which the fingerprint is known.
    pub(crate) fn remember_fingerprint(&mut self, fingerprint: u32, position: Position) {
        self.recent.push(fingerprint, position);
        self.recent.forget_old();
    }

    /// Judges an append. The bounds must have been checked by [`validate`].
    ///
    /// # Errors
    /// [`AppendError`]: the refusal. Nothing was admitted.
    pub fn admit(
        &mut self,
        past: &impl Past,
        events: Vec<NewEvent>,
        condition: Option<&Condition>,
        now: Timestamp,
    ) -> Result<Verdict, AppendError> {
        if let Some(repeated) = self.repeated(past, &events)? {
            return Ok(Verdict::Repeated(repeated));
        }
        if let Some(condition) = condition
            && let Some(repeated) = self.check_condition(past, &events, condition)?
        {
            return Ok(Verdict::Repeated(repeated));
        }
        Ok(Verdict::Admitted(self.assign(events, now)))
    }

    /// Where the present group begins, for [`Admission::undo`].
    pub fn mark(&self) -> Mark {
        Mark { last: self.last, time: self.time }
    }

    /// Takes back everything admitted since the mark.
    pub fn undo(&mut self, mark: Mark) {
        self.recent.pop(self.last.0 - mark.last.0);
        self.last = mark.last;
        self.time = mark.time;
    }

    /// Makes everything admitted final.
    pub fn settle(&mut self) {
        self.recent.forget_old();
    }

    fn repeated(&self, past: &impl Past, events: &[NewEvent]) -> Result<Option<Appended>, AppendError> {
        let mut known = None;
        for event in events {
            known = self.position(past, &event.id)?.map(|at| (event.id, at));
            if known.is_some() {
                break;
            }
        }
        let Some((id, at)) = known else { return Ok(None) };
        let refusal = AppendError::DuplicateId { id, at };
        // If the first is not known, none before `at` is of this append.
        let Some(first) = events.first().filter(|event| event.id == id).map(|_| at) else {
            return Err(refusal);
        };
        let ids = past.ids_from(first, events.len())?;
        let same = ids.iter().eq(events.iter().map(|event| &event.id));
        if same { Ok(Some(Appended::run(first, events.len(), true))) } else { Err(refusal) }
    }

    /// Where the event with an id is, if it is among the last ones.
    fn position(&self, past: &impl Past, id: &EventId) -> Result<Option<Position>, ReadError> {
        for at in self.recent.candidates(id, self.last) {
            if past.ids_from(at, 1)?.first() == Some(id) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Refuses if the condition does not hold, unless what contradicts it is this very append, made before:
    /// then it is necessarily the first match, since the condition held when it was made.
    fn check_condition(
        &self,
        past: &impl Past,
        events: &[NewEvent],
        condition: &Condition,
    ) -> Result<Option<Appended>, AppendError> {
        condition.query.check_mark(condition.after, Direction::Forward, self.first)?;
        let Some((at, id)) = past.first_match(condition)? else { return Ok(None) };
        let conflict = AppendError::Conflict { at };
        let Some(index) = events.iter().position(|event| event.id == id) else { return Err(conflict) };
        let first = Position(at.0.saturating_sub(index as u64));
        let ids = past.ids_from(first, events.len())?;
        if ids.iter().eq(events.iter().map(|event| &event.id)) {
            return Ok(Some(Appended::run(first, events.len(), true)));
        }
        Err(AppendError::DuplicateId { id, at })
    }

    fn assign(&mut self, events: Vec<NewEvent>, now: Timestamp) -> Vec<Event> {
        self.time = self.time.max(now);
        let assign = |event: NewEvent| {
            self.last = Position(self.last.0 + 1);
            self.recent.push(fingerprint(&event.id), self.last);
            event.into_event(self.last, self.time)
        };
        events.into_iter().map(assign).collect()
    }
}

/// Checks the bounds of an append and its condition.
///
/// # Errors
/// [`InvalidInput`] says which bound is exceeded.
pub fn validate(events: &[NewEvent], condition: Option<&Condition>) -> Result<(), InvalidInput> {
    if events.is_empty() {
        return Err(InvalidInput::NoEvents);
    }
    InvalidInput::check("events in an append", events.len(), MAX_APPEND_EVENTS)?;
    events.iter().try_for_each(NewEvent::validate)?;
    let bytes = events.iter().map(NewEvent::size).sum();
    InvalidInput::check("bytes in an append", bytes, MAX_APPEND_BYTES)?;
    let mut ids = BTreeSet::new();
    if let Some(event) = events.iter().find(|event| !ids.insert(event.id)) {
        return Err(InvalidInput::RepeatedId(event.id));
    }
    condition.map_or(Ok(()), Condition::validate)
}

#[cfg(test)]
mod tests;
