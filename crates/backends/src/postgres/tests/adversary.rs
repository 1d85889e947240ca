//! What would show a reader that goes by a sequence or a clock a gap: commits that come late.

use super::*;
use sqlx::{Connection, PgConnection, raw_sql};
use std::task::Poll;

/// Makes each commit of events take a while that varies.
const SLOW_COMMITS: &str = "
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_sleep((NEW.position * 7919 % 13) * 0.0004);
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON tenon.events DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION slow();
";

#[tokio::test]
async fn a_commit_that_comes_late_hides_what_others_append_until_it_is_there() {
    let url = testing::shared().database();
    let log = open(&url).await;
    log.append(vec![event("a")], None).await.unwrap();
    // Another server, which has written its event and not committed yet.
    let mut other = PgConnection::connect(&url).await.unwrap();
    raw_sql(
        "BEGIN; SELECT last FROM tenon.log_head FOR UPDATE;
         INSERT INTO tenon.events SELECT 2, time_micros, gen_random_uuid(), reserved, size, namespace, 'late',
             event_type, tags, metadata, data FROM tenon.events;
         UPDATE tenon.log_head SET last = 2",
    )
    .execute(&mut other)
    .await
    .unwrap();
    let mut subscription = log.clone().into_log().subscribe(Query::user(), Position::START);
    assert_eq!(subscription.next().await.unwrap().position, Position(1));
    let appending = log.clone();
    let appending = tokio::spawn(async move { appending.append(vec![event("b")], None).await.unwrap() });
    for _ in 0..50 {
        assert_eq!(positions(&read_all(&log).await), [1]);
        assert_eq!(log.head(), Position(1));
        assert!(!appending.is_finished());
        tokio::task::yield_now().await;
    }
    raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(appending.await.unwrap().last(), Position(3));
    assert_eq!(subscription.next().await.unwrap().stream, name("late"));
    assert_eq!(subscription.next().await.unwrap().position, Position(3));
    assert_eq!(positions(&read_all(&log).await), [1, 2, 3]);
}

#[tokio::test]
async fn no_reader_skips_a_position_however_long_commits_take() {
    let url = testing::shared().database();
    let servers = [open(&url).await, open(&url).await, open(&url).await];
    testing::shared().sql(&url, SLOW_COMMITS);
    let write = |log: PostgresLog| async move {
        for _ in 0..20 {
            log.append(vec![event("a"), event("b")], None).await.unwrap();
        }
    };
    let writers: Vec<_> = (0..12).map(|n| tokio::spawn(write(servers[n % 2].clone()))).collect();
    let readers = servers.clone().map(|log| tokio::spawn(read_live(log, 480)));
    for writer in writers {
        writer.await.unwrap();
    }
    for reader in readers {
        assert_eq!(reader.await.unwrap(), (1..=480).collect::<Vec<_>>());
    }
}

/// The positions that a subscription delivers; each head that is told on the way is complete by then.
async fn read_live(log: PostgresLog, count: usize) -> Vec<u64> {
    let mut subscription = log.clone().into_log().subscribe(Query::user(), Position::START);
    let mut seen = Vec::new();
    while seen.len() < count {
        let head = log.head();
        let page = log.read(Query::user(), Position::START, Direction::Forward, 1_000).await.unwrap();
        let below = page.events.iter().filter(|event| event.position <= head).count();
        assert_eq!(below as u64, head.0, "a position below a head was missing");
        seen.push(subscription.next().await.unwrap().position.0);
        // What has come already is taken at once.
        while let Poll::Ready(Ok(event)) = futures_now(&mut subscription).await {
            seen.push(event.position.0);
        }
    }
    seen
}

async fn futures_now(subscription: &mut tenon_store::Subscription) -> Poll<Result<Event, ReadError>> {
    tokio::select! {
        biased;
        event = subscription.next() => Poll::Ready(event),
        () = std::future::ready(()) => Poll::Pending,
    }
}
