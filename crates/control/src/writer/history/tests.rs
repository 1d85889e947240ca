use super::*;
use tenon_core::runtime;
use tenon_core::{Actor, ServiceRef, Timestamp};

fn recorded(position: u64) -> Recorded {
    let service: ServiceRef = "payment".parse().unwrap();
    let stamp =
        Stamp { position: Position(position), time: Timestamp::ZERO, actor: Actor::new("test").unwrap() };
    let event = Event::Runtime(runtime::Event::ServiceStopped { service: service.clone() });
    let changes = Changes { position: Position(position), runtime: [service].into(), ..Changes::default() };
    Recorded { stamp, event, changes, instance: None }
}

fn positions(history: &History, after: u64) -> Option<Vec<u64>> {
    Some(history.after(Position(after))?.map(|recorded| recorded.stamp.position.0).collect())
}

#[test]
fn it_gives_what_came_after_a_position() {
    let mut history = History::default();
    for position in [3, 5, 9] {
        history.push(recorded(position), 10);
    }
    assert_eq!(positions(&history, 0), Some(vec![3, 5, 9]));
    assert_eq!(positions(&history, 4), Some(vec![5, 9]));
    assert_eq!(positions(&history, 5), Some(vec![9]));
    assert_eq!(positions(&history, 9), Some(vec![]));
    assert_eq!(history.at(Position(5)).map(|it| it.stamp.position), Some(Position(5)));
    assert_eq!(history.at(Position(4)), None);
}

#[test]
fn it_says_so_when_it_has_forgotten() {
    let mut history = History::default();
    for position in 1..=(MOST_EVENTS as u64 + 2) {
        history.push(recorded(position), 1);
    }
    assert_eq!(positions(&history, 1), None);
    assert_eq!(history.changes_after(Position(1)), None);
    assert_eq!(positions(&history, 2).unwrap().len(), MOST_EVENTS);
}

#[test]
fn it_is_bounded_in_bytes_too() {
    let mut history = History::default();
    for position in 1..=40 {
        history.push(recorded(position), 1 << 20);
        assert!(history.bytes <= MOST_BYTES);
    }
    assert_eq!(positions(&history, 24).unwrap().len(), 16);
    assert_eq!(positions(&history, 23), None);
}

#[test]
fn changes_are_told_together() {
    let mut history = History::default();
    history.push(recorded(1), 1);
    history.push(recorded(2), 1);
    let changes = history.changes_after(Position::START).unwrap();
    assert_eq!((changes.position, changes.runtime.len()), (Position(2), 1));
}
