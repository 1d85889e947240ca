mod adversary;
mod failures;
mod migrate;
mod servers;
mod tls;

use super::*;
use crate::testing;
use bytes::Bytes;
use tenon_core::{EventType, Namespace, StreamName, Timestamp};
use tenon_store::{Event, Metadata};

fn name(stream: &str) -> StreamName {
    StreamName::new(stream).unwrap()
}

fn event(stream: &str) -> NewEvent {
    let event_type = EventType::new("test.Happened.v1").unwrap();
    NewEvent::new(Namespace::default(), name(stream), event_type, Bytes::from_static(b"{}"))
}

async fn open(url: &str) -> PostgresLog {
    open_with(url, patient()).await
}

/// Whoever does not test it is in no hurry.
fn patient() -> PostgresOptions {
    PostgresOptions { patience: Duration::from_secs(60), ..PostgresOptions::default() }
}

async fn open_with(url: &str, options: PostgresOptions) -> PostgresLog {
    PostgresLog::open(url, options).await.unwrap()
}

async fn read_all(log: &PostgresLog) -> Vec<Event> {
    let (mut events, mut from) = (Vec::new(), Position::START);
    loop {
        let page = log.read(Query::everything(), from, Direction::Forward, 1_000).await.unwrap();
        events.extend(page.events);
        if page.at_end {
            return events;
        }
        from = page.next;
    }
}

fn positions(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.position.0).collect()
}

#[tokio::test]
async fn users_events_are_forgotten_by_their_age() {
    let url = testing::shared().database();
    let now = Arc::new(std::sync::atomic::AtomicU64::new(1_000_000));
    let read = Arc::clone(&now);
    let clock: Clock =
        Arc::new(move || Timestamp::from_micros(read.load(std::sync::atomic::Ordering::Relaxed)));
    let log = open_with(&url, PostgresOptions { clock, ..patient() }).await;
    for streams in [["a", "$tenon/x"], ["b", "c"]] {
        log.append(streams.map(event).into(), None).await.unwrap();
        now.store(3_000_000, std::sync::atomic::Ordering::Relaxed);
    }
    let forget = async |at| {
        let at = Timestamp::from_micros(at);
        retain::forget(&log.inner.pool, &log.inner.seen, Duration::from_secs(5), at).await;
        log.first().0
    };
    assert_eq!(forget(5_999_999).await, 1);
    assert_eq!(forget(6_000_001).await, 3);
    let kept = log.read(Query::reserved(), Position::START, Direction::Forward, 10).await.unwrap().events;
    assert_eq!(positions(&kept), [2], "Tenon's own are kept");
    assert_eq!(forget(9_000_000).await, 5);
    log.append(vec![event("d")], None).await.unwrap();
    let left = log.read(Query::user(), Position(4), Direction::Forward, 10).await.unwrap().events;
    assert_eq!(positions(&left), [5]);
}

#[tokio::test]
async fn a_schema_of_a_newer_version_is_refused() {
    let url = testing::shared().database();
    open(&url).await.close().await;
    testing::shared().sql(&url, "INSERT INTO tenon.steps (step) VALUES (1000)");
    let error = PostgresLog::open(&url, PostgresOptions::default()).await.unwrap_err();
    assert!(matches!(error, ConnectError::NewerVersion { found: 1_000, .. }), "{error}");
    assert_eq!(error.code(), tenon_core::Code::DataNewerVersion);
}

#[tokio::test]
async fn servers_that_start_together_make_one_log() {
    let url = testing::shared().database();
    let opening = (0..4).map(|_| {
        let url = url.clone();
        tokio::spawn(async move { open(&url).await.id() })
    });
    let mut ids = Vec::new();
    for one in opening.collect::<Vec<_>>() {
        ids.push(one.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn a_role_that_may_not_make_tables_can_use_them() {
    let server = testing::shared();
    let url = server.database();
    open(&url).await.close().await;
    server.sql(
        &url,
        "CREATE ROLE clerk LOGIN; GRANT USAGE ON SCHEMA tenon TO clerk;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tenon TO clerk",
    );
    let log = open(&url.replace("user=tenon", "user=clerk")).await;
    log.append(vec![event("a")], None).await.unwrap();
    assert_eq!(read_all(&log).await.len(), 1);
}

#[tokio::test]
async fn metadata_may_hold_any_text() {
    let log = open(&testing::shared().database()).await;
    let metadata = Metadata {
        correlation: Some("a\0b \\u0000 \"ü\" 𝄞".into()),
        other: [("\0".into(), "\n\t\u{7f}".into())].into(),
        ..Metadata::default()
    };
    let appended = NewEvent { metadata: metadata.clone(), ..event("a") };
    log.append(vec![appended], None).await.unwrap();
    assert_eq!(read_all(&log).await.pop().unwrap().metadata, metadata);
}

#[tokio::test]
async fn a_snapshot_of_the_largest_size_is_kept() {
    let log = open(&testing::shared().database()).await;
    let data = Bytes::from(vec![7; tenon_store::log::MAX_SNAPSHOT_BYTES]);
    let key = SnapshotKey::new("large").unwrap();
    let snapshot =
        Snapshot { key: key.clone(), position: Position::START, schema: SchemaHash(u64::MAX), data };
    log.put_snapshot(snapshot.clone()).await.unwrap();
    assert!(log.snapshot(key, snapshot.schema).await.unwrap() == Some(snapshot));
}

#[tokio::test]
async fn the_rows_of_a_deleted_stream_go_whoever_deleted_it() {
    let url = testing::shared().database();
    let log = open(&url).await.into_log();
    for _ in 0..3 {
        let of_a = (0..1_000).map(|_| NewEvent { tags: ["t".parse().unwrap()].into(), ..event("a") });
        log.append(of_a.collect(), None).await.unwrap();
    }
    log.append(vec![event("b")], None).await.unwrap();
    log.delete_stream(Namespace::default(), name("a"), None).await.unwrap();
    let count = async |table: &str| {
        let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
        let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM tenon.{table}"));
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut connection).await.unwrap()
    };
    // Two are left: that of `b`, and the deletion.
    while count("deleted").await > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((count("events").await, count("tags").await), (2, 0));
    // What another server left.
    log.append(vec![event("b")], None).await.unwrap();
    let position = log.delete_stream(Namespace::default(), name("c"), None).await.unwrap().last();
    while count("deleted").await > 0 {
        tokio::task::yield_now().await;
    }
    let left = format!("INSERT INTO tenon.deleted VALUES ('b', 'default', {position})");
    testing::shared().sql(&url, &left);
    assert_eq!(
        log.read(Query::user(), Position::START, Direction::Forward, 10).await.unwrap().events.len(),
        2
    );
    let _other = open(&url).await;
    while count("deleted").await > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(count("events").await, 2);
}
