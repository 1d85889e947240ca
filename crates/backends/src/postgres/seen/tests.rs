use super::*;

const LOG: LogId = LogId::from_bytes([7; 16]);

fn head(last: u64) -> Head {
    Head { log: LOG, last, time_micros: 0, first: 1 }
}

#[test]
fn ends_only_move_up_and_wake_once_for_each_move() {
    let seen = Seen::new(head(5));
    let mut heads = seen.heads();
    seen.note(7, 3);
    assert!(heads.has_changed().unwrap());
    assert_eq!(*heads.borrow_and_update(), Position(7));
    seen.note(6, 2);
    assert!(!heads.has_changed().unwrap());
    assert_eq!((seen.last(), seen.first()), (Position(7), Position(3)));
}

#[test]
fn a_log_that_is_another_or_shorter_closes() {
    for found in [head(4), Head { log: LogId::from_bytes([8; 16]), ..head(9) }] {
        let seen = Seen::new(head(5));
        let heads = seen.heads();
        assert!(seen.check(found, seen.last()).is_err());
        assert!(seen.closed().is_some());
        assert!(heads.has_changed().is_err(), "subscriptions end");
        assert_eq!(seen.last(), Position(5));
    }
}

#[test]
fn an_answer_to_an_earlier_question_is_not_taken_for_a_step_back() {
    let seen = Seen::new(head(5));
    let asked_at = seen.last();
    seen.note(9, 1);
    assert!(seen.check(head(6), asked_at).is_ok());
    assert_eq!(seen.last(), Position(9));
}
