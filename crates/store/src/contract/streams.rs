//! Laws of lists of streams.

use super::{Subject, append, event, name};
use crate::log::{Log, NewEvent, Scope, StreamPage, StreamRef, StreamsQuery};
use std::sync::Arc;
use tenon_core::{Namespace, Position};

fn all() -> StreamsQuery {
    StreamsQuery::within(Namespace::default())
}

fn of(prefix: &str) -> StreamsQuery {
    StreamsQuery { prefix: Some(name(prefix)), ..all() }
}

fn everywhere() -> StreamsQuery {
    StreamsQuery { namespace: None, scope: Scope::All, ..all() }
}

/// All pages of a list, of so many each: names, with their last positions.
async fn list(log: &Arc<dyn Log>, mut query: StreamsQuery, limit: usize) -> Vec<(StreamRef, u64)> {
    let mut listed = Vec::new();
    loop {
        let StreamPage { streams, next } = log.streams(query.clone(), limit).await.unwrap();
        assert!(streams.len() <= limit, "{streams:?} are more than {limit}");
        listed.extend(streams.into_iter().map(|stream| (stream.name, stream.last.0)));
        query.after = next;
        if query.after.is_none() {
            assert!(listed.is_sorted_by(|one, next| one.0 < next.0), "{listed:?} are not in order");
            return listed;
        }
    }
}

async fn names(log: &Arc<dyn Log>, query: StreamsQuery) -> String {
    let listed = list(log, query, 1_000).await;
    let each = listed.iter().map(|(name, last)| format!("{}@{last}", name.stream.as_str()));
    each.collect::<Vec<_>>().join(" ")
}

fn in_other(stream: &str) -> NewEvent {
    NewEvent { namespace: Namespace::new("other").unwrap(), ..event(stream) }
}

/// Streams come in the order of namespaces and of the bytes of names, each once with its last position.
pub async fn streams_are_listed_in_order_by_namespace_and_prefix(subject: &impl Subject) {
    let log = subject.log();
    assert_eq!(names(&log, all()).await, "");
    append(&log, &[event("order/2"), event("order/10"), event("Order"), in_other("order/1")]).await;
    append(&log, &[event("orders"), event("order/2"), in_other("a")]).await;
    assert_eq!(names(&log, all()).await, "Order@3 order/10@2 order/2@6 orders@5");
    assert_eq!(names(&log, of("order/")).await, "order/10@2 order/2@6");
    assert_eq!(names(&log, of("order%")).await, "");
    let other = Namespace::new("other").unwrap();
    assert_eq!(names(&log, StreamsQuery::within(other.clone())).await, "a@7 order/1@4");
    let found = list(&log, everywhere(), 1_000).await;
    assert_eq!(found.iter().filter(|(name, _)| name.namespace == other).count(), 2);
    assert_eq!(found.len(), 6);
    let prefix = StreamsQuery { namespace: None, ..of("order/1") };
    assert_eq!(names(&log, prefix).await, "order/10@2 order/1@4");
}

/// Pages of any size have the same streams as one page.
pub async fn pages_of_streams_join(subject: &impl Subject) {
    let log = subject.log();
    for number in 0..30 {
        append(&log, &[event(&format!("s/{}", number * 7 % 20)), in_other(&format!("s/{number}"))]).await;
    }
    for query in [all(), of("s/1"), everywhere()] {
        let whole = list(&log, query.clone(), 1_000).await;
        assert!(!whole.is_empty());
        for limit in [1, 2, 7] {
            assert_eq!(list(&log, query.clone(), limit).await, whole);
        }
    }
    let after = StreamRef { namespace: Namespace::default(), stream: name("s/18") };
    let rest = names(&log, StreamsQuery { after: Some(after), ..all() }).await;
    assert!(rest.starts_with("s/19@") && rest.contains(" s/2@"), "{rest}");
}

/// A deleted stream is not listed until it goes on.
pub async fn a_deleted_stream_is_listed_again_when_it_goes_on(subject: &impl Subject) {
    let log = subject.log();
    append(&log, &[event("a"), event("b")]).await;
    log.delete_stream(Namespace::default(), name("a"), None).await.unwrap();
    assert_eq!(names(&log, all()).await, "b@2");
    append(&log, &[event("a")]).await;
    assert_eq!(names(&log, all()).await, "a@4 b@2");
}

/// Streams that are outside of the scope, or have no event that is served, are not listed.
pub async fn what_is_not_served_is_not_listed(subject: &impl Subject) {
    let log = subject.log();
    append(&log, &[event("a"), event("b"), event("$tenon/x")]).await;
    append(&log, &[event("b"), event("c")]).await;
    assert_eq!(names(&log, all()).await, "a@1 b@4 c@5");
    assert_eq!(names(&log, StreamsQuery { scope: Scope::Reserved, ..all() }).await, "$tenon/x@3");
    log.truncate_before(Position(4)).await.unwrap();
    assert_eq!(names(&log, all()).await, "b@4 c@5");
    assert_eq!(names(&log, everywhere()).await, "$tenon/x@3 b@4 c@5");
}

/// What was listed is listed after a restart.
pub async fn streams_are_listed_after_reopening(subject: &impl Subject) {
    let log = subject.log();
    append(&log, &[event("a"), event("b"), in_other("a")]).await;
    log.delete_stream(Namespace::default(), name("b"), None).await.unwrap();
    let before = list(&log, everywhere(), 10).await;
    drop(log);
    assert_eq!(list(&subject.reopen().await, everywhere(), 10).await, before);
}
