//! What a log must hold after a schedule of appends, failures and restarts: the checker of the fault
//! schedules, for every engine.

use crate::log::{AppendError, Appended, Changed, Condition, Event, NewEvent};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use tenon_core::{EventId, Position};

/// What a log is known to hold.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// What was acknowledged, or seen in a read.
    present: BTreeMap<Position, NewEvent>,
    /// Appends whose answer was lost, and which have not been seen.
    unknown: Vec<Vec<NewEvent>>,
    /// What must never be seen: refused, or known not to have survived.
    refused: BTreeSet<EventId>,
    /// The scavenge mark, and how far it may have been moved by an attempt whose answer was lost.
    mark: Position,
    tried_mark: Position,
    /// The highest head that was seen.
    head: Position,
    /// What the last commit that acknowledged anything did acknowledge.
    last_group: BTreeSet<Position>,
    /// Whether the next acknowledgement begins another group.
    new_group: bool,
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) String);

macro_rules! ensure {
    ($holds:expr, $($message:tt)*) => {
        if !$holds {
            return Err(Violation(format!($($message)*)));
        }
    };
}

impl Model {
    pub(crate) fn mark(&self) -> Position {
        self.mark
    }

    /// The last position in a stream, as somebody who has read it would know it.
    pub(crate) fn last_matching(&self, condition: impl Fn(&NewEvent) -> bool) -> Position {
        let found = self.present.iter().rev().find(|(_, event)| condition(event));
        found.map_or(Position::START, |(position, _)| *position)
    }

    /// Whether some of these events may be forgotten, because they were scavenged or deleted.
    pub(crate) fn may_be_forgotten(&self, events: &[NewEvent]) -> bool {
        let of_these = |id: EventId| events.iter().any(|event| event.id == id);
        self.present
            .iter()
            .filter(|(_, event)| of_these(event.id))
            .any(|(position, event)| *position < self.mark || self.is_deleted(*position, event))
    }

    /// A commit begins.
    pub(crate) fn begin_group(&mut self) {
        self.new_group = true;
    }

    /// Notes the answer to an append, in the order of the appends. `lone` tells that no other append of the
    /// same group failed for want of storage, so that every refusal must be justified by what is present.
    pub(crate) fn answered(
        &mut self,
        events: &[NewEvent],
        condition: Option<&Condition>,
        answer: &Result<Appended, AppendError>,
        lone: bool,
    ) -> Result<(), Violation> {
        match answer {
            Ok(appended) if appended.duplicate => self.repeated(events, appended),
            Ok(appended) => self.appended(events, condition, appended),
            Err(AppendError::Conflict { at }) if lone => {
                let contradicts = |event: &NewEvent| {
                    condition
                        .is_some_and(|it| *at > it.after && counts(it, event) && it.query.matches_new(event))
                };
                let found = self.present.get(at);
                let justified = match found {
                    Some(event) => contradicts(event),
                    // It may be there although its answer was lost.
                    None => self.unknown.iter().flatten().any(contradicts),
                };
                ensure!(justified, "a conflict at {at} that is none: {condition:?}, {found:?}");
                Ok(())
            }
            Err(error) if error.changed() == Changed::Unknown => {
                self.allow(events);
                self.unknown.push(events.to_vec());
                Ok(())
            }
            Err(_) => {
                // A retry that is refused says nothing of the first attempt, whose answer was lost.
                let open: BTreeSet<EventId> = self.unknown.iter().flatten().map(|event| event.id).collect();
                let known: BTreeSet<EventId> = self.present.values().map(|event| event.id).collect();
                let ids = events.iter().map(|event| event.id);
                self.refused.extend(ids.filter(|id| !open.contains(id) && !known.contains(id)));
                Ok(())
            }
        }
    }

    /// Notes that the mark was moved, or may have been.
    pub(crate) fn marked(&mut self, first: Position, certain: bool) {
        self.tried_mark = self.tried_mark.max(first);
        if certain {
            self.mark = self.mark.max(first);
        }
    }

    /// The mark that the log reports after it was opened again. If its end was damaged, and it said so, then
    /// the mark may have gone back.
    pub(crate) fn reopened_mark(&mut self, first: Position, damaged: bool) -> Result<(), Violation> {
        let floor = if damaged { Position(1) } else { self.mark.max(Position(1)) };
        let ceiling = self.tried_mark.max(Position(1));
        ensure!(first >= floor && first <= ceiling, "the mark {first} is not in {floor}..={ceiling}");
        self.mark = first;
        Ok(())
    }

    /// Allows that the last group is lost, as happens if it is damaged before anything shows that it was
    /// durable, provided that the log says so.
    pub(crate) fn lose_last_group(&mut self, after: Position) {
        let lost: Vec<Position> =
            self.last_group.iter().copied().filter(|position| *position > after).collect();
        for position in lost {
            if let Some(event) = self.present.remove(&position) {
                self.refused.insert(event.id);
            }
        }
        self.head = self.head.min(after);
    }

    /// Compares with everything that the log serves: reserved streams wholly, others from the mark on.
    /// `settled` tells that the log was opened again since the last lost answer.
    pub(crate) fn check(&mut self, served: &[Event], head: Position, settled: bool) -> Result<(), Violation> {
        self.check_form(served, head)?;
        let by_position: BTreeMap<Position, &Event> =
            served.iter().map(|event| (event.position, event)).collect();
        for (position, expected) in &self.present {
            let deleted = self.is_deleted(*position, expected) || deleted_among(served, *position, expected);
            let served = !deleted && (*position >= self.mark || expected.stream.is_reserved());
            match by_position.get(position) {
                Some(_) if deleted => {
                    ensure!(false, "the event at {position} is served although it was deleted");
                }
                Some(event) => {
                    ensure!(same(event, expected), "the event at {position} is not the one appended");
                }
                None => ensure!(!served, "the event at {position}, {}, is missing", expected.id),
            }
        }
        let fresh: Vec<&Event> =
            served.iter().filter(|event| !self.present.contains_key(&event.position)).collect();
        self.check_fresh(&fresh)?;
        if settled {
            for event in std::mem::take(&mut self.unknown).into_iter().flatten() {
                if !served.iter().any(|present| present.id == event.id) {
                    self.refused.insert(event.id);
                }
            }
        }
        self.head = self.head.max(head);
        Ok(())
    }

    /// Whether an event was deleted with its stream.
    pub(crate) fn is_deleted(&self, position: Position, event: &NewEvent) -> bool {
        let after = (Bound::Excluded(position), Bound::Unbounded);
        self.present.range(after).any(|(_, later)| {
            later.is_deletion() && later.stream == event.stream && later.namespace == event.namespace
        })
    }

    fn appended(
        &mut self,
        events: &[NewEvent],
        condition: Option<&Condition>,
        appended: &Appended,
    ) -> Result<(), Violation> {
        ensure!(appended.positions.len() == events.len(), "not every event got a position");
        if let Some(condition) = condition {
            let matching = |(position, event): &(&Position, &NewEvent)| {
                **position > condition.after
                    && counts(condition, event)
                    && condition.query.matches_new(event)
                    && !self.is_deleted(**position, event)
            };
            let found = self.present.iter().find(matching).map(|(position, _)| position);
            ensure!(found.is_none(), "appended although the event at {found:?} contradicts {condition:?}");
        }
        self.allow(events);
        if std::mem::take(&mut self.new_group) {
            self.last_group.clear();
        }
        for (position, event) in appended.positions.iter().zip(events) {
            let last = self.present.last_key_value().map_or(self.head, |(last, _)| self.head.max(*last));
            ensure!(*position > last, "appended at {position}, not after {last}");
            self.present.insert(*position, event.clone());
            self.last_group.insert(*position);
        }
        Ok(())
    }

    /// These are to be appended, whatever became of them before.
    fn allow(&mut self, events: &[NewEvent]) {
        let ids: BTreeSet<EventId> = events.iter().map(|event| event.id).collect();
        self.refused.retain(|id| !ids.contains(id));
        self.unknown.retain(|unknown| !unknown.iter().any(|event| ids.contains(&event.id)));
    }

    fn repeated(&mut self, events: &[NewEvent], appended: &Appended) -> Result<(), Violation> {
        let lost = |unknown: &Vec<NewEvent>| {
            unknown.iter().map(|event| event.id).eq(events.iter().map(|event| event.id))
        };
        if let Some(at) = self.unknown.iter().position(lost) {
            let learned = self.unknown.swap_remove(at);
            self.present.extend(appended.positions.iter().copied().zip(learned));
        }
        for (position, event) in appended.positions.iter().zip(events) {
            let present = self.present.get(position).map(|event| event.id);
            ensure!(
                present == Some(event.id),
                "{} is said to be at {position}, where {present:?} is",
                event.id
            );
        }
        Ok(())
    }

    fn check_form(&self, served: &[Event], head: Position) -> Result<(), Violation> {
        let ids: BTreeSet<EventId> = served.iter().map(|event| event.id).collect();
        ensure!(ids.len() == served.len(), "an event is served twice");
        for (one, next) in served.iter().zip(served.iter().skip(1)) {
            ensure!(one.position < next.position, "{} is served before {}", one.position, next.position);
            ensure!(one.time <= next.time, "time goes backwards at {}", next.position);
        }
        ensure!(served.iter().all(|event| event.position <= head), "an event is beyond the head {head}");
        ensure!(head >= self.head, "the head went back from {} to {head}", self.head);
        let refused = ids.iter().find(|id| self.refused.contains(id));
        ensure!(refused.is_none(), "{refused:?} was refused and is served");
        Ok(())
    }

    /// What was not known to be present must be whole appends whose answers were lost.
    fn check_fresh(&mut self, fresh: &[&Event]) -> Result<(), Violation> {
        let mut explained = 0;
        for append in std::mem::take(&mut self.unknown) {
            let found: Vec<&&Event> =
                fresh.iter().filter(|event| append.iter().any(|unknown| unknown.id == event.id)).collect();
            if found.is_empty() {
                self.unknown.push(append);
                continue;
            }
            let whole =
                found.len() == append.len() && found.iter().zip(&append).all(|(event, of)| same(event, of));
            ensure!(whole, "only a part of an append is there: {} of {}", found.len(), append.len());
            let run = found
                .iter()
                .zip(found.iter().skip(1))
                .all(|(one, next)| one.position.0 + 1 == next.position.0);
            ensure!(run, "the events of an append are apart");
            ensure!(found.iter().all(|event| event.position > self.head), "an event appeared below a head");
            explained += found.len();
            self.last_group.extend(found.iter().map(|event| event.position));
            self.present.extend(found.iter().map(|event| event.position).zip(append));
        }
        ensure!(explained == fresh.len(), "an event is served that was never appended: {fresh:?}");
        Ok(())
    }
}

/// Whether an event counts that matches a condition.
fn counts(condition: &Condition, event: &NewEvent) -> bool {
    condition.after > Position::START || !event.is_deletion()
}

/// Whether an event is older than a deletion of its stream among these.
fn deleted_among(served: &[Event], position: Position, event: &NewEvent) -> bool {
    served.iter().any(|later| {
        later.is_deletion()
            && later.position > position
            && later.stream == event.stream
            && later.namespace == event.namespace
    })
}

fn same(event: &Event, expected: &NewEvent) -> bool {
    expected.clone().into_event(event.position, event.time) == *event
}

/// The seeds to run: `TENON_SEED` alone if it is set, otherwise 200, or with `TENON_TEST_LONG` 10,000.
pub(crate) fn seeds() -> Vec<u64> {
    let given = std::env::var("TENON_SEED").ok().and_then(|seed| seed.parse().ok());
    let many = if std::env::var_os("TENON_TEST_LONG").is_some() { 10_000 } else { 200 };
    given.map_or_else(|| (0..many).collect(), |seed| vec![seed])
}
