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
    NewEvent, Query, ReadError,
};
use std::collections::{BTreeSet, HashMap, VecDeque};
use tenon_core::{EventId, Position, Timestamp};

/// What an engine must know of its past for the rules.
pub trait Past {
    /// The first event that matches after a position, including those admitted but not yet written: where it
    /// is and its id.
    ///
    /// # Errors
    /// [`ReadError`] when the past cannot be read.
    fn first_match(&self, query: &Query, after: Position) -> Result<Option<(Position, EventId)>, ReadError>;
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
        self.recent.push(id, position);
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
        if let Some(repeated) = self.repeated(&events)? {
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
        self.recent.pop_after(mark.last);
        self.last = mark.last;
        self.time = mark.time;
    }

    /// Makes everything admitted final.
    pub fn settle(&mut self) {
        self.recent.forget_old();
    }

    fn repeated(&self, events: &[NewEvent]) -> Result<Option<Appended>, AppendError> {
        let known = |event: &NewEvent| Some((event.id, self.recent.position(&event.id)?));
        let Some((id, at)) = events.iter().find_map(known) else { return Ok(None) };
        let first = events.first().and_then(|event| self.recent.position(&event.id));
        let in_order = |first: Position| {
            (first.0..).zip(events).all(|(at, event)| self.recent.position(&event.id) == Some(Position(at)))
        };
        match first {
            Some(first) if in_order(first) => Ok(Some(Appended::run(first, events.len(), true))),
            _ => Err(AppendError::DuplicateId { id, at }),
        }
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
        let Some((at, id)) = past.first_match(&condition.query, condition.after)? else { return Ok(None) };
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
            self.recent.push(event.id, self.last);
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

/// The ids of the last events.
#[derive(Debug)]
struct RecentIds {
    capacity: usize,
    positions: HashMap<EventId, Position>,
    order: VecDeque<(EventId, Position)>,
}

impl RecentIds {
    fn new(capacity: usize) -> Self {
        Self { capacity, positions: HashMap::new(), order: VecDeque::new() }
    }

    fn position(&self, id: &EventId) -> Option<Position> {
        self.positions.get(id).copied()
    }

    fn push(&mut self, id: EventId, position: Position) {
        self.positions.insert(id, position);
        self.order.push_back((id, position));
    }

    fn pop_after(&mut self, last: Position) {
        while let Some((id, _)) = self.order.pop_back_if(|(_, position)| *position > last) {
            self.positions.remove(&id);
        }
    }

    fn forget_old(&mut self) {
        while self.order.len() > self.capacity {
            if let Some((id, position)) = self.order.pop_front()
                && self.positions.get(&id) == Some(&position)
            {
                self.positions.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests;
