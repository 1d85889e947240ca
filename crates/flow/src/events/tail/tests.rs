use super::*;
use crate::testing::{Fixture, event, name};
use tenon_core::Namespace;
use tenon_store::{Log, QueryItem};

fn stream(stream: &str) -> Query {
    Query::stream(Namespace::default(), name(stream))
}

fn tail(fixture: &Fixture) -> Tail {
    Tail::new(fixture.log.clone().into_log(), CancellationToken::new())
}

/// Waits until everything up to the head is delivered, then takes it.
async fn take(fixture: &Fixture, post: &Post) -> Vec<u64> {
    let mut positions = Vec::new();
    loop {
        match post.take() {
            Mail::Events { events, up_to } => {
                positions.extend(events.iter().map(|event| event.position.0));
                if up_to >= fixture.log.head() {
                    return positions;
                }
            }
            other => panic!("{other:?}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_comes_is_put_where_it_matches_and_nowhere_else() {
    let fixture = Fixture::new();
    fixture.append(&["a"]).await;
    let tail = tail(&fixture);
    let (of_a, of_b, all) = (tail.open(stream("a")), tail.open(stream("b")), tail.open(Query::user()));
    assert_eq!(of_a.since().0, 1);
    fixture.append(&["a", "b", "$tenon/x", "a"]).await;
    assert_eq!(take(&fixture, &of_a).await, [2, 5]);
    assert_eq!(take(&fixture, &of_b).await, [3]);
    assert_eq!(take(&fixture, &all).await, [2, 3, 5]);
    of_a.filled().await;
    drop((of_a, of_b, all));
    fixture.append(&["a"]).await;
    let again = tail.open(stream("a"));
    fixture.append(&["a"]).await;
    assert_eq!(take(&fixture, &again).await.last(), Some(&7));
}

#[tokio::test]
async fn what_comes_is_found_by_its_type() {
    let fixture = Fixture::new();
    let tail = tail(&fixture);
    let of = |types: &[&str]| {
        let types = types.iter().map(|of_type| of_type.parse().unwrap()).collect();
        Query::user().or(QueryItem { types, ..QueryItem::default() })
    };
    let (one, both) =
        (tail.open(of(&["a.v1"])), tail.open(of(&["a.v1", "b.v1"]).or(of(&["c.v1"]).items.remove(0))));
    let events = ["a.v1", "b.v1", "c.v1", "d.v1"].map(|of_type| {
        let mut event = event("x");
        event.event_type = of_type.parse().unwrap();
        event
    });
    fixture.log.append(events.to_vec(), None).await.unwrap();
    assert_eq!(take(&fixture, &one).await, [1]);
    assert_eq!(take(&fixture, &both).await, [1, 2, 3]);
    drop((one, both));
    assert!(tail.shared.lock().by_type.is_empty());
}

#[tokio::test]
async fn a_mailbox_that_is_full_says_so_and_others_go_on() {
    let fixture = Fixture::new();
    let tail = tail(&fixture);
    let (slow, quick) = (tail.open(Query::user()), tail.open(stream("b")));
    for _ in 0..3 {
        fixture.append(&["a"; 100]).await;
        fixture.append(&["b"]).await;
    }
    assert_eq!(take(&fixture, &quick).await, [101, 202, 303]);
    assert!(matches!(slow.take(), Mail::Overflow));
}

#[tokio::test]
async fn mailboxes_are_told_when_the_log_is_closed() {
    let fixture = Fixture::new();
    let tail = tail(&fixture);
    let post = tail.open(Query::user());
    fixture.log.append(vec![event("a")], None).await.unwrap();
    take(&fixture, &post).await;
    fixture.log.close();
    while !matches!(post.take(), Mail::Closed) {
        post.filled().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_follows_waits_while_the_log_cannot_be_read() {
    let fixture = Fixture::new();
    let tail = tail(&fixture);
    let of_a = tail.open(stream("a"));
    fixture.log.faults().fail_reads(3);
    fixture.append(&["a", "b"]).await;
    of_a.filled().await;
    assert_eq!(take(&fixture, &of_a).await, [1]);
}
