//! Laws of subscriptions.

use super::{Subject, append, event, stream};
use crate::log::{Event, Log, Query, ReadError, Subscription};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tenon_core::Position;

async fn take(subscription: &mut Subscription, count: usize) -> Vec<Event> {
    let mut events = Vec::with_capacity(count);
    while events.len() < count {
        events.push(subscription.next().await.unwrap());
    }
    events
}

fn write_in_background(log: &Arc<dyn Log>, appends: usize) -> tokio::task::JoinHandle<()> {
    let log = Arc::clone(log);
    tokio::spawn(async move {
        for _ in 0..appends {
            append(&log, &[event("a"), event("b")]).await;
        }
    })
}

/// Every event is delivered once and in order: those that were there, those that come while it catches up,
/// and those that come later; from wherever it begins.
pub async fn a_subscription_catches_up_and_goes_live_without_gap(subject: &impl Subject) {
    let log = subject.log();
    for _ in 0..50 {
        append(&log, &[event("a"), event("b")]).await;
    }
    let middle = Position(log.head().0 / 2);
    let writers: Vec<_> = (0..4).map(|_| write_in_background(&log, 50)).collect();
    let mut whole = log.subscribe(Query::user(), Position::START);
    let mut half = log.subscribe(Query::user(), middle);
    let mut one = log.subscribe(stream("b"), Position::START);
    let live = take(&mut whole, 500).await;
    for writer in writers {
        writer.await.unwrap();
    }
    let all = super::read_all(&log, &Query::user()).await;
    assert_eq!(live, all);
    let newer: Vec<Event> = all.iter().filter(|event| event.position > middle).cloned().collect();
    assert_eq!(take(&mut half, newer.len()).await, newer);
    let of_b: Vec<Event> = all.into_iter().filter(|event| event.stream.as_str() == "b").collect();
    assert_eq!(take(&mut one, 250).await, of_b);
}

/// A subscriber that takes nothing for a long time delays nobody and then gets everything.
pub async fn a_slow_subscriber_misses_nothing(subject: &impl Subject) {
    let log = subject.log();
    let mut slow = log.subscribe(Query::user(), Position::START);
    append(&log, &[event("a"), event("b")]).await;
    let first = slow.next().await.unwrap();
    write_in_background(&log, 1_500).await.unwrap();
    let mut events = vec![first];
    events.extend(take(&mut slow, 3_001).await);
    assert_eq!(events, super::read_all(&log, &Query::user()).await);
}

/// A subscriber whose query matches nothing learns how far it has looked, and can go on from there.
pub async fn a_filtered_subscription_tells_how_far_it_is(subject: &impl Subject) {
    let log = subject.log();
    append(&log, &[event("a"), event("b")]).await;
    let mut of_c = log.subscribe(stream("c"), Position::START);
    while of_c.position() < log.head() {
        assert!(of_c.next_page().await.unwrap().events.is_empty());
    }
    append(&log, &[event("c"), event("b")]).await;
    let mut again = log.subscribe(stream("c"), of_c.position());
    assert_eq!(of_c.next().await.unwrap(), again.next().await.unwrap());
}

/// Dropping a wait for the next event drops no event.
pub async fn a_cancelled_wait_loses_nothing(subject: &impl Subject) {
    let log = subject.log();
    let mut subscription = log.subscribe(Query::user(), Position::START);
    let mut delivered = Vec::new();
    for _ in 0..20 {
        append(&log, &[event("a"), event("b")]).await;
        // Polled once and dropped, at whatever point it has come to.
        let mut next = pin!(subscription.next());
        if let Poll::Ready(event) = next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            delivered.push(event.unwrap());
        }
    }
    delivered.extend(take(&mut subscription, 40 - delivered.len()).await);
    assert_eq!(delivered, super::read_all(&log, &Query::user()).await);
}

/// A subscriber of a log that is closed is told, after everything there was.
pub async fn a_subscription_ends_when_the_log_closes(subject: &impl Subject) {
    let log = subject.log();
    append(&log, &[event("a")]).await;
    let mut subscription = log.subscribe(Query::user(), Position::START);
    subscription.next().await.unwrap();
    let waiting = tokio::spawn(async move { subscription.next().await });
    drop(log);
    subject.reopen().await;
    assert!(matches!(waiting.await.unwrap(), Err(ReadError::Closed)));
}
