use super::*;
use crate::testing::{Fixture, name};
use tenon_core::Namespace;
use tenon_store::Log;

fn feed(fixture: &Fixture, stream: &str, after: u64) -> Feed {
    let query = Query::stream(Namespace::default(), name(stream));
    let permit = fixture.store.stream_permit().unwrap();
    Feed::new(fixture.store.clone(), query, Some(Position(after)), Some(permit))
}

/// Takes pages until so many events came.
async fn take(feed: &mut Feed, count: usize) -> Vec<u64> {
    let mut positions = Vec::new();
    while positions.len() < count {
        let page = feed.next().await.unwrap().unwrap();
        positions.extend(page.events.iter().map(|event| event.position.0));
    }
    positions
}

async fn of_stream(fixture: &Fixture, stream: &str) -> Vec<u64> {
    let query = Query::stream(Namespace::default(), name(stream));
    let mut positions = Vec::new();
    let mut from = Position::START;
    loop {
        let page = fixture.log.read(query.clone(), from, Direction::Forward, 1_000).await.unwrap();
        positions.extend(page.events.iter().map(|event| event.position.0));
        from = page.next;
        if page.at_end {
            return positions;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_that_come_and_lag_under_load_miss_nothing_and_see_nothing_twice() {
    let fixture = Arc::new(Fixture::new());
    let writer = Arc::clone(&fixture);
    let writing = tokio::spawn(async move {
        for round in 0..400 {
            writer.append(&[["a", "b", "c", "d"][round % 4]; 7]).await;
            tokio::task::yield_now().await;
        }
    });
    let readers: Vec<_> = (0..40_u64)
        .map(|number| {
            let fixture = Arc::clone(&fixture);
            tokio::spawn(async move {
                let stream = ["a", "b", "c", "d"][number as usize % 4];
                let mut feed = feed(&fixture, stream, 0);
                let mut positions = Vec::new();
                while positions.len() < 700 {
                    positions.extend(take(&mut feed, 1).await);
                    // Some are slow, so that their mailboxes fill up.
                    for _ in 0..number * 3 {
                        tokio::task::yield_now().await;
                    }
                }
                (stream, positions)
            })
        })
        .collect();
    writing.await.unwrap();
    for reader in readers {
        let (stream, positions) = reader.await.unwrap();
        assert_eq!(positions, of_stream(&fixture, stream).await);
    }
}

#[tokio::test]
async fn a_subscriber_whose_mailbox_was_too_small_reads_on_in_the_log() {
    let fixture = Fixture::new();
    let mut feed = feed(&fixture, "a", 0);
    assert!(feed.next().await.unwrap().unwrap().at_end);
    fixture.append(&["a"]).await;
    assert_eq!(take(&mut feed, 1).await, [1]);
    for _ in 0..30 {
        fixture.append(&["a"; 50]).await;
        tokio::task::yield_now().await;
    }
    assert!(take(&mut feed, 1_500).await.into_iter().eq(2..=1_501));
    fixture.append(&["b", "a"]).await;
    assert_eq!(take(&mut feed, 1).await, [1_503]);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_for_whom_nothing_comes_is_told_how_far_the_log_is() {
    let fixture = Fixture::new();
    let mut feed = feed(&fixture, "a", 0);
    let first = feed.next().await.unwrap().unwrap();
    assert_eq!((first.next, first.at_end), (Position::START, true));
    fixture.append(&["b", "b"]).await;
    let later = feed.next().await.unwrap().unwrap();
    assert_eq!((later.events.len(), later.next, later.at_end), (0, Position(2), true));
}

#[tokio::test]
async fn a_subscription_ends_with_the_log() {
    let fixture = Fixture::new();
    let mut feed = feed(&fixture, "a", 0);
    feed.next().await.unwrap().unwrap();
    fixture.append(&["a"]).await;
    take(&mut feed, 1).await;
    fixture.log.close();
    assert!(matches!(feed.next().await, Some(Err(Error::Read(ReadError::Closed)))));
    assert!(feed.next().await.is_none());
}
