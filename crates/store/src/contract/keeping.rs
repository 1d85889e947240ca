//! Laws of what is kept, and what is not: reopening, scavenging, snapshots.

use super::{Subject, append, event, name, read_all, read_from, stream};
use crate::log::{
    AppendError, Condition, Direction, InvalidInput, Log, Metadata, NewEvent, Query, ReadError, SchemaHash,
    Snapshot, SnapshotKey, TruncateError,
};
use bytes::Bytes;
use std::sync::Arc;
use tenon_core::{Actor, Namespace, Position, Tag};

/// A restarted process finds the same log with the same events, to the last field, and goes on after them.
pub async fn everything_is_there_after_reopening(subject: &impl Subject) {
    let log = subject.log();
    let id = log.id();
    let full = NewEvent {
        tags: [Tag::new("order:1").unwrap(), Tag::new("customer:2").unwrap()].into(),
        metadata: Metadata {
            actor: Some(Actor::new("cli:ada").unwrap()),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            causation: Some(crate::log::new_event_id()),
            correlation: Some("checkout 7".into()),
            other: [("b".into(), "2".into()), ("a".into(), "1".into())].into(),
        },
        ..event("a")
    };
    append(&log, &[full.clone(), event("$tenon/b")]).await;
    append(&log, &[event("c")]).await;
    let before = read_all(&log, &Query::everything()).await;
    super::assert_same(&before[..1], &[full]);
    let head = log.head();
    drop(log);
    let log = subject.reopen().await;
    assert_eq!((log.id(), log.head()), (id, head));
    assert_eq!(read_all(&log, &Query::everything()).await, before);
    assert!(append(&log, &[event("a")]).await.last() > head);
}

async fn fill(log: &Arc<dyn Log>, appends: usize) {
    for _ in 0..appends {
        append(log, &[event("a"), event("$tenon/b")]).await;
    }
}

/// Reads, conditions and subscriptions from before the mark are refused and told where to begin; from the
/// mark on all is as before.
pub async fn what_is_before_the_mark_is_refused(subject: &impl Subject) {
    let log = subject.log();
    fill(&log, 20).await;
    assert_eq!(log.first(), Position(1));
    let before = read_all(&log, &Query::user()).await;
    let first = before[10].position;
    log.truncate_before(first).await.unwrap();
    assert_eq!(log.first(), first);
    for query in [Query::user(), stream("a"), Query::everything()] {
        let early = log.read(query.clone(), Position(first.0 - 2), Direction::Forward, 1).await;
        assert!(matches!(early, Err(ReadError::Truncated { first: at }) if at == first), "{early:?}");
        let early = log.read(query.clone(), Position(first.0 - 1), Direction::Backward, 1).await;
        assert!(matches!(early, Err(ReadError::Truncated { .. })), "{early:?}");
        let error = log.subscribe(query, Position::START).next().await.unwrap_err();
        assert!(matches!(error, ReadError::Truncated { .. }), "{error}");
    }
    let condition = Condition::stream_is_new(Namespace::default(), name("z"));
    let error = log.append(vec![event("z")], Some(condition)).await.unwrap_err();
    assert!(matches!(error, AppendError::Truncated { .. }), "{error}");
    let from = Position(first.0 - 1);
    assert_eq!(read_from(&log, &Query::user(), from, 3).await, before[10..]);
    let condition = Condition::stream_unchanged(Namespace::default(), name("z"), from);
    log.append(vec![event("z")], Some(condition)).await.unwrap();
    let mut backward = log.read(Query::user(), crate::log::END, Direction::Backward, 100).await.unwrap();
    assert!(backward.at_end);
    backward.events.reverse();
    assert_eq!(backward.events[..10], before[10..]);
}

/// Tenon's own streams are served from the beginning whatever the mark is.
pub async fn reserved_streams_outlive_the_mark(subject: &impl Subject) {
    let log = subject.log();
    fill(&log, 30).await;
    let before = read_all(&log, &Query::reserved()).await;
    log.truncate_before(Position(log.head().0 + 1)).await.unwrap();
    assert_eq!(read_all(&log, &Query::reserved()).await, before);
    assert_eq!(read_all(&log, &stream("$tenon/b")).await, before);
    drop(log);
    let log = subject.reopen().await;
    assert_eq!(read_from(&log, &Query::reserved(), Position::START, 4).await, before);
    assert!(read_from(&log, &Query::user(), Position(log.first().0 - 1), 10).await.is_empty());
    let condition = Condition::stream_unchanged(Namespace::default(), name("$tenon/b"), Position(1));
    let error = log.append(vec![event("$tenon/b")], Some(condition)).await.unwrap_err();
    assert!(matches!(error, AppendError::Conflict { at } if at == before[0].position), "{error}");
}

/// A mark survives a restart, moves forward only, and not beyond the end.
pub async fn the_mark_is_kept_and_never_goes_back(subject: &impl Subject) {
    let log = subject.log();
    fill(&log, 5).await;
    let beyond = Position(log.head().0 + 2);
    let error = log.truncate_before(beyond).await.unwrap_err();
    assert!(matches!(error, TruncateError::Invalid(InvalidInput::BeyondHead { .. })), "{error}");
    let mark = Position(log.head().0 - 2);
    log.truncate_before(mark).await.unwrap();
    log.truncate_before(Position(2)).await.unwrap();
    assert_eq!(log.first(), mark);
    drop(log);
    assert_eq!(subject.reopen().await.first(), mark);
}

fn snapshot(key: &str, position: Position, data: &'static [u8]) -> Snapshot {
    let schema = SchemaHash::of("counter v1");
    Snapshot { key: SnapshotKey::new(key).unwrap(), position, schema, data: Bytes::from_static(data) }
}

/// The last snapshot of a key is served to whoever has its schema, and to nobody else.
pub async fn snapshots_are_kept_by_key_and_schema(subject: &impl Subject) {
    let log = subject.log();
    fill(&log, 3).await;
    let get = async |key, schema| {
        log.snapshot(SnapshotKey::new(key).unwrap(), SchemaHash::of(schema)).await.unwrap()
    };
    assert_eq!(get("counter", "counter v1").await, None);
    log.put_snapshot(snapshot("counter", Position(2), b"two")).await.unwrap();
    log.put_snapshot(snapshot("other", Position(1), b"one")).await.unwrap();
    log.put_snapshot(snapshot("counter", Position(3), b"three")).await.unwrap();
    assert_eq!(get("counter", "counter v1").await, Some(snapshot("counter", Position(3), b"three")));
    assert_eq!(get("other", "counter v1").await, Some(snapshot("other", Position(1), b"one")));
    assert_eq!(get("counter", "counter v2").await, None);
}

/// A snapshot of events that the log does not have is of no use.
pub async fn a_snapshot_ahead_of_the_log_is_not_served(subject: &impl Subject) {
    let log = subject.log();
    fill(&log, 1).await;
    let ahead = snapshot("counter", Position(log.head().0 + 1), b"ahead");
    log.put_snapshot(ahead.clone()).await.unwrap();
    assert_eq!(log.snapshot(ahead.key, ahead.schema).await.unwrap(), None);
}
