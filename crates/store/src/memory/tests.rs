use super::*;
use bytes::Bytes;
use tenon_core::{EventType, Namespace, StreamName};

fn event(stream: &str) -> NewEvent {
    NewEvent::new(
        Namespace::default(),
        StreamName::new(stream).unwrap(),
        EventType::new("test.Happened.v1").unwrap(),
        Bytes::from_static(b"data"),
    )
}

async fn all(log: &MemoryLog) -> Vec<EventId> {
    let page = log.read(Query::user(), Position::START, Direction::Forward, 100).await.unwrap();
    page.events.iter().map(|event| event.id).collect()
}

#[tokio::test]
async fn a_lost_answer_is_learned_by_appending_again() {
    let log = MemoryLog::default();
    let event = event("a");
    log.faults().order(AppendFault::LostAfter);
    let error = log.append(vec![event.clone()], None).await.unwrap_err();
    assert_eq!(error.changed(), crate::log::Changed::Unknown);
    let appended = log.append(vec![event.clone()], None).await.unwrap();
    assert!(appended.duplicate);
    assert_eq!(all(&log).await, [event.id]);
}

#[tokio::test]
async fn an_append_lost_before_it_was_made_is_made_by_the_retry() {
    let log = MemoryLog::default();
    let event = event("a");
    log.faults().order_success();
    log.faults().order(AppendFault::LostBefore);
    log.append(vec![self::event("b")], None).await.unwrap();
    log.append(vec![event.clone()], None).await.unwrap_err();
    assert!(!log.append(vec![event], None).await.unwrap().duplicate);
    assert_eq!(log.head(), Position(2));
}

#[tokio::test]
async fn a_full_log_refuses_and_goes_on_once_there_is_room() {
    let log = MemoryLog::new(MemoryOptions { capacity: 400, ..MemoryOptions::default() });
    log.append(vec![event("a")], None).await.unwrap();
    log.append(vec![event("a")], None).await.unwrap();
    assert!(matches!(log.append(vec![event("a")], None).await, Err(AppendError::Full)));
    assert_eq!(log.head(), Position(2));
    log.truncate_before(Position(3)).await.unwrap();
    assert_eq!(log.append(vec![event("a")], None).await.unwrap().last(), Position(3));
}

#[tokio::test]
async fn a_writer_that_failed_stays_closed_until_reopened() {
    let log = MemoryLog::default();
    log.append(vec![event("a")], None).await.unwrap();
    log.faults().order(AppendFault::Closed);
    for _ in 0..3 {
        assert!(matches!(log.append(vec![event("a")], None).await, Err(AppendError::Closed(_))));
    }
    assert_eq!(all(&log).await.len(), 1);
    log.close();
    log.reopen();
    assert_eq!(log.append(vec![event("a")], None).await.unwrap().last(), Position(2));
}

#[tokio::test]
async fn ordered_read_failures_pass() {
    let log = MemoryLog::default();
    log.faults().fail_reads(1);
    let read = || log.read(Query::user(), Position::START, Direction::Forward, 1);
    assert!(matches!(read().await, Err(ReadError::Io(_))));
    assert!(read().await.is_ok());
}
