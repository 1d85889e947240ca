//! Connections that break, servers that go and come.

use super::*;
use crate::testing::PrivateServer;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

fn impatient() -> PostgresOptions {
    PostgresOptions { patience: Duration::ZERO, ..PostgresOptions::default() }
}

/// Stands between a log and its database, and breaks a connection at a commit.
struct Between {
    folder: tempfile::TempDir,
    cut: Arc<AtomicU8>,
}

const NOT: u8 = 0;
const BEFORE_COMMIT: u8 = 1;
const AFTER_COMMIT: u8 = 2;

impl Between {
    fn start(url: &str) -> (Self, String) {
        let folder = tempfile::tempdir().unwrap();
        let (front, real) = url.split_once("&host=").unwrap();
        let (real, port) = real.split_once("&port=").unwrap();
        let real = Path::new(real).join(format!(".s.PGSQL.{port}"));
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let cut = Arc::new(AtomicU8::new(NOT));
        let cutting = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, real.clone(), Arc::clone(&cutting)));
            }
        });
        let url = format!("{front}&host={}", folder.path().display());
        (Self { folder, cut }, url)
    }

    fn cut(&self, when: u8) {
        assert!(self.folder.path().exists());
        self.cut.store(when, Ordering::SeqCst);
    }
}

/// Carries bytes both ways, until a commit is to be cut.
async fn carry(mut client: UnixStream, real: std::path::PathBuf, cut: Arc<AtomicU8>) {
    let mut server = UnixStream::connect(real).await.unwrap();
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                let commits = asked[..count].windows(6).any(|word| word == b"COMMIT");
                let when = if commits { cut.swap(NOT, Ordering::SeqCst) } else { NOT };
                if when == BEFORE_COMMIT {
                    return;
                }
                server.write_all(&asked[..count]).await.unwrap();
                if when == AFTER_COMMIT {
                    // The answer says that it was made, and gets no further than here.
                    let count = server.read(&mut answered).await.unwrap();
                    assert!(answered[..count].windows(6).any(|word| word == b"COMMIT"));
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                if client.write_all(&answered[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_repeating_tells_the_outcome() {
    let (between, url) = Between::start(&testing::shared().database());
    let log = open_with(&url, impatient()).await;
    for (when, made) in [(AFTER_COMMIT, true), (BEFORE_COMMIT, false)] {
        let events = vec![event("a"), event("b")];
        between.cut(when);
        let error = log.append(events.clone(), None).await.unwrap_err();
        assert!(matches!(error, AppendError::Unknown(_)), "{error}");
        let again = log.append(events.clone(), None).await.unwrap();
        assert_eq!(again.duplicate, made);
        assert_eq!(log.append(events, None).await.unwrap().positions, again.positions);
    }
    assert_eq!(positions(&read_all(&open(&url).await).await), [1, 2, 3, 4]);
}

#[tokio::test]
async fn with_patience_a_lost_answer_is_found_out() {
    let (between, url) = Between::start(&testing::shared().database());
    let log = open(&url).await;
    for when in [AFTER_COMMIT, BEFORE_COMMIT] {
        let condition = Condition::stream_unchanged(Namespace::default(), name("a"), log.head());
        between.cut(when);
        log.append(vec![event("a")], Some(condition)).await.unwrap();
    }
    assert_eq!(positions(&read_all(&log).await), [1, 2]);
}

#[tokio::test]
async fn a_connection_that_is_ended_in_mid_append_loses_nothing() {
    let server = testing::shared();
    let url = server.database();
    let log = open_with(&url, impatient()).await;
    server.sql(
        &url,
        "CREATE FUNCTION halt() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER halt AFTER INSERT ON tenon.events DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION halt()",
    );
    // Commits come no further than this lock, until it is given back.
    let mut lock = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(1)").execute(&mut lock).await.unwrap();
    let events = vec![event("a"), event("b")];
    let (appending, same) = (log.clone(), events.clone());
    let appending = tokio::spawn(async move { appending.append(same, None).await });
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event = 'advisory'";
    while server.sql(&url, end) == "0" {
        tokio::task::yield_now().await;
    }
    let error = appending.await.unwrap().unwrap_err();
    assert!(matches!(error, AppendError::Unknown(_)), "{error}");
    sqlx::query("SELECT pg_advisory_unlock(1)").execute(&mut lock).await.unwrap();
    assert!(!log.append(events.clone(), None).await.unwrap().duplicate);
    assert!(log.append(events, None).await.unwrap().duplicate);
    assert_eq!(positions(&read_all(&open(&url).await).await), [1, 2]);
}

#[tokio::test]
async fn a_commit_that_the_database_refuses_was_not_made() {
    let url = testing::shared().database();
    let log = open(&url).await;
    testing::shared().sql(
        &url,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'not today'; END $$;
         CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON tenon.events DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW WHEN (NEW.stream = 'forbidden') EXECUTE FUNCTION refuse()",
    );
    let error = log.append(vec![event("forbidden")], None).await.unwrap_err();
    assert!(matches!(error, AppendError::Io(_)), "{error}");
    log.append(vec![event("a")], None).await.unwrap();
    assert_eq!(positions(&read_all(&log).await), [1]);
}

#[tokio::test]
async fn what_was_acknowledged_outlives_stops_and_crashes_of_the_database() {
    let server = PrivateServer::start().unwrap();
    let log =
        open_with(&server.database(), PostgresOptions { patience: Duration::from_secs(600), ..impatient() })
            .await;
    let mut subscription = log.clone().into_log().subscribe(Query::user(), Position::START);
    let mut acknowledged = Vec::new();
    for end in [PrivateServer::stop, PrivateServer::crash, PrivateServer::crash] {
        let write = |log: PostgresLog| async move {
            let mut ids = Vec::new();
            for _ in 0..10 {
                let event = event("a");
                ids.push(event.id);
                log.append(vec![event], None).await.unwrap();
            }
            ids
        };
        let writers: Vec<_> = (0..4).map(|_| tokio::spawn(write(log.clone()))).collect();
        subscription.next().await.unwrap();
        end(&server);
        server.start_again();
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
    }
    let mut found: Vec<_> = read_all(&log).await.into_iter().map(|event| event.id).collect();
    found.sort();
    acknowledged.sort();
    assert_eq!(found, acknowledged);
}

#[tokio::test]
async fn a_database_that_is_gone_is_unavailable_and_comes_back() {
    let server = PrivateServer::start().unwrap();
    let url = server.database();
    let log = open_with(&url, PostgresOptions { patience: Duration::from_millis(100), ..impatient() }).await;
    server.stop();
    let error = log.append(vec![event("a")], None).await.unwrap_err();
    assert!(matches!(error, AppendError::Unavailable(_)), "{error}");
    assert_eq!(error.code(), tenon_core::Code::LogUnavailable);
    let error = log.read(Query::user(), Position::START, Direction::Forward, 1).await.unwrap_err();
    assert!(matches!(error, ReadError::Unavailable(_)), "{error}");
    let error = PostgresLog::open(&url, PostgresOptions::default()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
    server.start_again();
    log.append(vec![event("a")], None).await.unwrap();
    assert_eq!(read_all(&open(&url).await).await.len(), 1);
}

#[tokio::test]
async fn a_database_that_went_back_in_time_closes_the_log() {
    let url = testing::shared().database();
    let log = open(&url).await;
    for _ in 0..3 {
        log.append(vec![event("a")], None).await.unwrap();
    }
    testing::shared()
        .sql(&url, "DELETE FROM tenon.events WHERE position = 3; UPDATE tenon.log_head SET last = 2");
    let error = log.append(vec![event("a")], None).await.unwrap_err();
    assert!(matches!(error, AppendError::Closed(_)), "{error}");
    let read = log.read(Query::user(), Position::START, Direction::Forward, 1).await;
    assert!(matches!(read, Err(ReadError::Closed)), "{read:?}");
}

#[tokio::test]
async fn what_the_database_refuses_is_refused_alone() {
    let url = testing::shared().database();
    let log = open(&url).await;
    testing::shared().sql(&url, "ALTER TABLE tenon.events ADD CHECK (stream <> 'forbidden')");
    let append = |stream: &'static str| {
        let log = log.clone();
        tokio::spawn(async move { log.append(vec![event(stream)], None).await })
    };
    // The first keeps the committer busy while the others gather to a group.
    let [first, refused, good] = ["a", "forbidden", "b"].map(append);
    assert!(first.await.unwrap().is_ok());
    assert!(matches!(refused.await.unwrap(), Err(AppendError::Io(_))));
    assert!(good.await.unwrap().is_ok());
    assert_eq!(read_all(&log).await.len(), 2);
}
