//! Laws of appends.

use super::{Subject, append, assert_same, event, item, read_all, stream, tagged};
use crate::log::{
    AppendError, Changed, Condition, Direction, Log, MAX_APPEND_BYTES, MAX_APPEND_EVENTS, MAX_EVENT_BYTES,
    NewEvent, Query,
};
use bytes::Bytes;
use std::sync::Arc;
use tenon_core::{Namespace, Position, Timestamp};

/// Positions increase with each append, and the events of one append follow one upon the other.
pub async fn positions_increase_in_the_order_of_appends(subject: &impl Subject) {
    let log = subject.log();
    assert_eq!(log.head(), Position::START);
    let mut last = Position::START;
    let mut all = Vec::new();
    for count in 1..5 {
        let events: Vec<NewEvent> = (0..count).map(|n| event(["a", "b"][n % 2])).collect();
        let appended = append(&log, &events).await;
        assert!(!appended.duplicate);
        assert_eq!(appended.positions.len(), count);
        assert!(appended.positions.first() > Some(&last), "{appended:?} after {last}");
        assert!(appended.positions.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0), "{appended:?}");
        last = appended.last();
        assert!(log.head() >= last, "an acknowledged append is visible");
        all.extend(events);
    }
    assert_same(&read_all(&log, &Query::user()).await, &all);
}

/// A reader sees all events of an append or none, whatever streams they go to.
pub async fn an_append_over_several_streams_is_seen_whole(subject: &impl Subject) {
    let log = subject.log();
    let writer = Arc::clone(&log);
    let writing = tokio::spawn(async move {
        for _ in 0..100 {
            append(&writer, &[event("a"), event("b"), event("c")]).await;
        }
    });
    while !writing.is_finished() {
        let page = log.read(Query::user(), Position::START, Direction::Forward, 1_000).await.unwrap();
        assert_eq!(page.events.len() % 3, 0, "a part of an append was visible");
        tokio::task::yield_now().await;
    }
    writing.await.unwrap();
    for name in ["a", "b", "c"] {
        assert_eq!(read_all(&log, &stream(name)).await.len(), 100);
    }
}

/// A condition that does not hold names the event that contradicts it, and nothing is appended.
pub async fn a_condition_that_does_not_hold_appends_nothing(subject: &impl Subject) {
    let log = subject.log();
    let new = || Condition::stream_is_new(Namespace::default(), super::name("a"));
    let first = log.append(vec![event("a")], Some(new())).await.unwrap();
    let error = log.append(vec![event("a"), event("b")], Some(new())).await.unwrap_err();
    assert!(matches!(error, AppendError::Conflict { at } if at == first.last()), "{error}");
    assert_eq!(error.changed(), Changed::No);
    assert!(read_all(&log, &stream("b")).await.is_empty());
    // Others' events do not count.
    append(&log, &[event("b")]).await;
    let unchanged = Condition { after: first.last(), ..new() };
    log.append(vec![event("a")], Some(unchanged)).await.unwrap();
    assert_eq!(read_all(&log, &stream("a")).await.len(), 2);
}

/// Of 64 writers that race for each version of a stream, one wins, and the others are told.
pub async fn one_of_racing_conditional_appends_wins(subject: &impl Subject) {
    const VERSIONS: usize = 8;
    let log = subject.log();
    let race = |log: Arc<dyn Log>| async move {
        let (mut after, mut won) = (Position::START, 0);
        for _ in 0..VERSIONS {
            let condition = Condition::stream_unchanged(Namespace::default(), super::name("a"), after);
            match log.append(vec![event("a")], Some(condition)).await {
                Ok(_) => won += 1,
                Err(AppendError::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            // Everybody goes on from the version that was won, by whomever.
            let next = log.read(stream("a"), after, Direction::Forward, 1).await.unwrap();
            after = next.events.first().unwrap().position;
        }
        won
    };
    let writers: Vec<_> = (0..64).map(|_| tokio::spawn(race(Arc::clone(&log)))).collect();
    let mut won = 0;
    for writer in writers {
        won += writer.await.unwrap();
    }
    assert_eq!(won, VERSIONS);
    assert_eq!(read_all(&log, &stream("a")).await.len(), VERSIONS);
}

/// A condition on tags looks across streams, at events that carry all of the tags.
pub async fn a_condition_may_cross_streams_by_tag(subject: &impl Subject) {
    let log = subject.log();
    let seat = Query::user().or(item(&[], &["show:1", "seat:7"], &[]));
    let condition = || Some(Condition { query: seat.clone(), after: Position::START });
    append(&log, &[tagged("a", &["show:1", "seat:8"])]).await;
    let booked = vec![tagged("b", &["show:1", "seat:7", "price:9"])];
    log.append(booked, condition()).await.unwrap();
    let error = log.append(vec![tagged("c", &["show:1", "seat:7"])], condition()).await.unwrap_err();
    assert!(matches!(error, AppendError::Conflict { .. }), "{error}");
}

/// A condition that would depend on the whole log is refused.
pub async fn a_condition_must_name_a_stream_or_a_tag(subject: &impl Subject) {
    let log = subject.log();
    let unbounded =
        [Query::user(), Query::user().or(item(&[], &[], &["t"])), stream("a").or(item(&[], &[], &[]))];
    for query in unbounded {
        let condition = Condition { query, after: Position::START };
        let error = log.append(vec![event("a")], Some(condition)).await.unwrap_err();
        assert!(matches!(error, AppendError::Invalid(_)), "{error}");
    }
    assert_eq!(log.head(), Position::START);
}

/// An append with the same ids is answered as the first was, and changes nothing.
pub async fn a_repeated_append_changes_nothing(subject: &impl Subject) {
    let log = subject.log();
    let condition = Condition::stream_is_new(Namespace::default(), super::name("a"));
    for condition in [None, Some(condition)] {
        let name = if condition.is_some() { "a" } else { "b" };
        let events = vec![event(name), event(name)];
        let first = log.append(events.clone(), condition.clone()).await.unwrap();
        append(&log, &[event("c")]).await;
        let head = log.head();
        let again = log.append(events, condition).await.unwrap();
        assert!(again.duplicate);
        assert_eq!(again.positions, first.positions);
        assert_eq!(log.head(), head);
    }
    assert_eq!(read_all(&log, &Query::user()).await.len(), 6);
}

/// What was appended before a restart is recognised after it.
pub async fn a_repeated_append_is_recognised_after_reopening(subject: &impl Subject) {
    let events = vec![event("a"), event("b")];
    let first = append(&subject.log(), &events).await;
    let log = subject.reopen().await;
    let again = append(&log, &events).await;
    assert!(again.duplicate);
    assert_eq!(again.positions, first.positions);
}

/// An id that stands for another append's event is refused.
pub async fn an_id_of_another_append_is_refused(subject: &impl Subject) {
    let log = subject.log();
    let one = event("a");
    append(&log, std::slice::from_ref(&one)).await;
    let error = log.append(vec![event("a"), one.clone()], None).await.unwrap_err();
    assert!(matches!(error, AppendError::DuplicateId { id, .. } if id == one.id), "{error}");
    assert_eq!(error.changed(), Changed::No);
    assert_eq!(read_all(&log, &Query::user()).await.len(), 1);
}

/// What is too large is refused before anything is written.
pub async fn bounds_are_kept(subject: &impl Subject) {
    let log = subject.log();
    let of = |bytes| NewEvent { data: Bytes::from(vec![1; bytes]), ..event("a") };
    let twice = event("a");
    let refused = [
        vec![],
        vec![of(MAX_EVENT_BYTES + 1)],
        (0..=MAX_APPEND_EVENTS).map(|_| event("a")).collect(),
        (0..=MAX_APPEND_BYTES / MAX_EVENT_BYTES).map(|_| of(MAX_EVENT_BYTES)).collect(),
        vec![twice.clone(), twice],
    ];
    for events in refused {
        let error = log.append(events, None).await.unwrap_err();
        assert!(matches!(error, AppendError::Invalid(_)), "{error}");
    }
    assert_eq!(log.head(), Position::START);
    append(&log, &[of(MAX_EVENT_BYTES)]).await;
}

/// The largest append there may be is taken, and read back whole.
pub async fn the_largest_append_is_taken(subject: &impl Subject) {
    let log = subject.log();
    let size = MAX_APPEND_BYTES / MAX_APPEND_EVENTS - 400;
    let of = |n| NewEvent { data: Bytes::from(vec![n as u8; size]), ..event("a") };
    let events: Vec<NewEvent> = (0..MAX_APPEND_EVENTS).map(of).collect();
    append(&log, &[event("before")]).await;
    append(&log, &events).await;
    append(&log, &[event("after")]).await;
    assert_same(&read_all(&log, &stream("a")).await, &events);
}

/// The events of one append share a time, and times never go backwards, whatever the clock does.
pub async fn time_never_goes_backwards(subject: &impl Subject) {
    let log = subject.log();
    for now in [2_000_000, 5_000_000, 1_000_000, 6_000_000] {
        let settable = subject.set_time(Timestamp::from_micros(now));
        append(&log, &[event("a"), event("b")]).await;
        if !settable {
            break;
        }
    }
    let times: Vec<u64> =
        read_all(&log, &Query::user()).await.iter().map(|event| event.time.as_micros()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(times.chunks(2).all(|append| append.first() == append.last()), "{times:?}");
    if subject.set_time(Timestamp::from_micros(3_000_000)) {
        let log = subject.reopen().await;
        append(&log, &[event("a")]).await;
        let events = read_all(&log, &Query::user()).await;
        assert_eq!(events.last().unwrap().time.as_micros(), 6_000_000);
        assert_eq!(times, [2, 2, 5, 5, 5, 5, 6, 6].map(|seconds| seconds * 1_000_000));
    }
}
