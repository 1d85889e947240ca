//! The fault schedules for the log in memory: every failure that it can be told to make, in seeded order,
//! checked against the same model as the segment engine.

use super::{AppendFault, MemoryLog, MemoryOptions};
use crate::log::{AppendError, Condition, Direction, Event, NewEvent, Query};
use crate::model::{Model, Violation, seeds};
use bytes::Bytes;
use fastrand::Rng;
use tenon_core::{EventId, EventType, Namespace, Position, StreamName};

struct Schedule {
    rng: Rng,
    log: MemoryLog,
    model: Model,
    ids: u64,
    sent: Vec<(Vec<NewEvent>, Option<Condition>)>,
}

fn run(seed: u64) -> Result<(), Violation> {
    let mut rng = Rng::with_seed(seed);
    let log =
        MemoryLog::new(MemoryOptions { capacity: rng.usize(4_000..40_000), ..MemoryOptions::default() });
    let mut schedule = Schedule { rng, log, model: Model::default(), ids: 0, sent: Vec::new() };
    for _ in 0..schedule.rng.usize(10..120) {
        match schedule.rng.u8(..20) {
            0..12 => schedule.append()?,
            12..16 => schedule.order_fault(),
            16 => schedule.reopen()?,
            17 => schedule.truncate()?,
            18 => schedule.delete()?,
            _ => schedule.check(true)?,
        }
    }
    schedule.reopen()
}

impl Schedule {
    fn append(&mut self) -> Result<(), Violation> {
        let (events, condition) = self.request();
        let answer = self.log.append_now(events.clone(), condition.as_ref());
        self.model.begin_group();
        self.model.answered(
            &events,
            condition.as_ref(),
            &answer,
            !matches!(answer, Err(AppendError::Full)),
        )?;
        self.sent.push((events, condition));
        Ok(())
    }

    fn request(&mut self) -> (Vec<NewEvent>, Option<Condition>) {
        if !self.sent.is_empty() && self.rng.u8(..3) == 0 {
            let (events, condition) = self.sent[self.rng.usize(..self.sent.len())].clone();
            if !self.model.may_be_forgotten(&events) {
                return (events, condition);
            }
        }
        let events: Vec<NewEvent> = (0..self.rng.usize(1..4)).map(|_| self.event()).collect();
        let stream = events[0].stream.clone();
        let condition = self.rng.bool().then(|| {
            let after = self.model.last_matching(|event| event.stream == stream);
            let stale = u64::from(self.rng.u8(..4) == 0);
            Condition::stream_unchanged(Namespace::default(), stream, Position(after.0.saturating_sub(stale)))
        });
        (events, condition)
    }

    fn event(&mut self) -> NewEvent {
        self.ids += 1;
        let stream = StreamName::new(["a", "b", "$tenon/x"][self.rng.usize(..3)]).unwrap();
        let data = Bytes::from(vec![self.ids as u8; self.rng.usize(..100)]);
        let event = NewEvent::new(Namespace::default(), stream, EventType::new("t").unwrap(), data);
        NewEvent { id: EventId::from_time(self.ids, [1; 10]), ..event }
    }

    fn order_fault(&mut self) {
        use AppendFault::{Closed, Full, LostAfter, LostBefore};
        // The writer fails for good less often than an answer is lost.
        let faults = [Full, LostBefore, LostBefore, LostAfter, LostAfter, LostAfter, Closed];
        self.log.faults().order(faults[self.rng.usize(..faults.len())]);
    }

    fn reopen(&mut self) -> Result<(), Violation> {
        self.log.close();
        self.log.reopen();
        self.check(true)
    }

    fn truncate(&mut self) -> Result<(), Violation> {
        use crate::log::Log;
        // What is there although its answer was lost must be seen before it can be hidden.
        self.check(true)?;
        let first = Position(self.rng.u64(..=self.log.head().0) + 1);
        let moved = self.log.truncate_now(first);
        self.model.marked(first, moved.is_ok());
        self.check(true)
    }

    fn delete(&mut self) -> Result<(), Violation> {
        // What is there although its answer was lost must be seen before it can be hidden.
        self.check(true)?;
        let stream = StreamName::new(["a", "b"][self.rng.usize(..2)]).unwrap();
        self.ids += 1;
        let id = EventId::from_time(self.ids, [1; 10]);
        let deletion = vec![NewEvent { id, ..NewEvent::deletion(Namespace::default(), stream) }];
        let answer = self.log.append_now(deletion.clone(), None);
        self.model.begin_group();
        self.model.answered(&deletion, None, &answer, true)?;
        self.check(true)
    }

    fn check(&mut self, settled: bool) -> Result<(), Violation> {
        use crate::log::Log;
        let all = |query: Query, from: Position| -> Result<Vec<Event>, Violation> {
            let mut events = Vec::new();
            let mut from = from;
            loop {
                let page = self.log.read_now(&query, from, Direction::Forward, 5);
                let page = page.map_err(|error| Violation(format!("reading failed: {error:?}")))?;
                events.extend(page.events);
                from = page.next;
                if page.at_end {
                    return Ok(events);
                }
            }
        };
        let mut events = all(Query::reserved(), Position::START)?;
        events.extend(all(Query::user(), Position(self.model.mark().0.saturating_sub(1)))?);
        events.sort_by_key(|event| event.position);
        self.model.check(&events, self.log.head(), settled)
    }
}

#[test]
fn every_acknowledged_event_is_there_whatever_fails() {
    for seed in seeds() {
        if let Err(Violation(violation)) = run(seed) {
            panic!("{violation}; replay it with TENON_SEED={seed}");
        }
    }
}
