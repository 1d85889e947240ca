use super::*;
use crate::log::Query;
use bytes::Bytes;
use std::cell::RefCell;
use tenon_core::{EventType, Namespace, StreamName};

/// A past of which nothing matches, as far as conditions go; what was admitted is noted by the tests.
#[derive(Default)]
struct Noted(RefCell<Vec<EventId>>);

impl Past for Noted {
    fn first_match(&self, _: &Condition) -> Result<Option<(Position, EventId)>, ReadError> {
        Ok(None)
    }
    fn ids_from(&self, first: Position, count: usize) -> Result<Vec<EventId>, ReadError> {
        Ok(self.0.borrow().iter().skip(first.0 as usize - 1).take(count).copied().collect())
    }
}

fn event() -> NewEvent {
    let stream = StreamName::new("a").unwrap();
    NewEvent::new(Namespace::default(), stream, EventType::new("t").unwrap(), Bytes::new())
}

fn admit(admission: &mut Subject, events: &[NewEvent]) -> Result<Verdict, AppendError> {
    let verdict = admission.rules.admit(&admission.past, events.to_vec(), None, Timestamp::ZERO);
    if let Ok(Verdict::Admitted(admitted)) = &verdict {
        admission.past.0.borrow_mut().extend(admitted.iter().map(|event| event.id));
    }
    verdict
}

struct Subject {
    rules: Admission,
    past: Noted,
}

fn fresh(remembered: usize) -> Subject {
    let rules = Admission::new(Position::START, Timestamp::ZERO, Position(1), remembered);
    Subject { rules, past: Noted::default() }
}

#[test]
fn an_undone_group_may_be_appended_again_at_the_same_positions() {
    let mut admission = fresh(100);
    let events = [event(), event()];
    let mark = admission.rules.mark();
    assert!(matches!(admit(&mut admission, &events), Ok(Verdict::Admitted(_))));
    admission.rules.undo(mark);
    admission.past.0.borrow_mut().clear();
    match admit(&mut admission, &events) {
        Ok(Verdict::Admitted(admitted)) => assert_eq!(admitted[0].position, Position(1)),
        other => panic!("expected the events to be admitted, got {other:?}"),
    }
}

#[test]
fn an_id_is_remembered_for_as_many_events_as_stated_and_no_longer() {
    let mut admission = fresh(3);
    let first = event();
    admit(&mut admission, std::slice::from_ref(&first)).unwrap();
    for _ in 0..2 {
        admit(&mut admission, &[event()]).unwrap();
        admission.rules.settle();
        assert!(matches!(
            admit(&mut admission, std::slice::from_ref(&first)),
            Ok(Verdict::Repeated(Appended { duplicate: true, .. }))
        ));
    }
    admit(&mut admission, &[event()]).unwrap();
    admission.rules.settle();
    assert!(matches!(admit(&mut admission, &[first]), Ok(Verdict::Admitted(_))));
}

#[test]
fn an_id_of_another_append_is_refused() {
    let mut admission = fresh(100);
    let (one, two) = (event(), event());
    admit(&mut admission, &[one.clone(), two.clone()]).unwrap();
    for reused in [vec![event(), one.clone()], vec![two.clone(), one.clone()], vec![one, event()]] {
        assert!(matches!(admit(&mut admission, &reused), Err(AppendError::DuplicateId { .. })));
    }
}

#[test]
fn time_never_goes_backwards() {
    let mut admission = fresh(100);
    for (now, expected) in [(5, 5), (3, 5), (9, 9)] {
        let verdict =
            admission.rules.admit(&admission.past, vec![event()], None, Timestamp::from_micros(now));
        match verdict {
            Ok(Verdict::Admitted(events)) => assert_eq!(events[0].time.as_micros(), expected),
            other => panic!("expected the event to be admitted, got {other:?}"),
        }
    }
}

#[test]
fn bounds_are_checked() {
    assert_eq!(validate(&[], None), Err(InvalidInput::NoEvents));
    let twice = event();
    assert_eq!(validate(&[twice.clone(), twice.clone()], None), Err(InvalidInput::RepeatedId(twice.id)));
    let large = NewEvent { data: Bytes::from(vec![0; (1 << 20) + 1]), ..event() };
    assert!(matches!(validate(&[large], None), Err(InvalidInput::TooMany { .. })));
    let many: Vec<NewEvent> = (0..=MAX_APPEND_EVENTS).map(|_| event()).collect();
    assert!(matches!(validate(&many, None), Err(InvalidInput::TooMany { .. })));
    let unbounded = Condition { query: Query::user(), after: Position::START };
    assert_eq!(validate(&[event()], Some(&unbounded)), Err(InvalidInput::UnboundedCondition));
}
