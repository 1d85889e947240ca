use super::*;
use crate::log::NewEvent;
use tenon_core::{StreamName, Timestamp};

fn deletion(namespace: &str, stream: &str, position: u64) -> Event {
    let stream = StreamName::new(stream).unwrap();
    let new = NewEvent::deletion(Namespace::new(namespace).unwrap(), stream);
    new.into_event(Position(position), Timestamp::ZERO)
}

#[test]
fn what_is_before_the_last_deletion_of_the_stream_is_hidden() {
    let mut deleted = Deleted::default();
    assert!(!deleted.hides(Position(1), b"default", b"a"));
    for at in [7, 9, 8] {
        deleted.note(&deletion("default", "a", at));
    }
    deleted.note(&deletion("sales", "a", 20));
    assert_eq!(deleted.len(), 2);
    assert!(deleted.hides(Position(8), b"default", b"a"));
    assert!(!deleted.hides(Position(9), b"default", b"a"));
    assert!(deleted.hides(Position(19), b"sales", b"a"));
    assert!(!deleted.hides(Position(1), b"default", b"b"));
}

#[test]
fn a_clone_stays_as_it_was() {
    let mut deleted = Deleted::default();
    deleted.note(&deletion("default", "a", 7));
    let before = deleted.clone();
    deleted.note(&deletion("default", "b", 8));
    assert!(!before.hides(Position(1), b"default", b"b"));
    assert!(deleted.hides(Position(1), b"default", b"b"));
}
