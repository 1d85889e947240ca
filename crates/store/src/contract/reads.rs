//! Laws of reads.

use super::{Subject, append, event, item, name, read_all, read_from, stream, tagged, typed};
use crate::log::{
    Direction, END, Event, MAX_ITEM_NAMES, MAX_QUERY_ITEMS, NewEvent, Query, QueryItem, ReadError, Scope,
};
use std::sync::Arc;
use tenon_core::{Namespace, Position, StreamName};

fn streams(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.stream.as_str()).collect()
}

/// An item asks for any of its streams, any of its types, and all of its tags; a query for any of its items.
pub async fn queries_select_by_stream_tag_and_type(subject: &impl Subject) {
    let log = subject.log();
    append(&log, &[tagged("a", &["x"]), tagged("b", &["x", "y"])]).await;
    append(&log, &[typed("c", "t.One.v1"), typed("d", "t.Two.v1"), tagged("e", &["y"])]).await;
    let found = async |items: Vec<QueryItem>| {
        let query = items.into_iter().fold(Query::user(), Query::or);
        let events = read_all(&log, &query).await;
        streams(&events).concat()
    };
    assert_eq!(found(vec![]).await, "abcde");
    assert_eq!(found(vec![item(&["a", "d"], &[], &[])]).await, "ad");
    assert_eq!(found(vec![item(&[], &["x"], &[])]).await, "ab");
    assert_eq!(found(vec![item(&[], &["x", "y"], &[])]).await, "b");
    assert_eq!(found(vec![item(&[], &[], &["t.One.v1", "t.Two.v1"])]).await, "cd");
    assert_eq!(found(vec![item(&["a", "c"], &[], &["t.One.v1"])]).await, "c");
    assert_eq!(found(vec![item(&["a"], &[], &["t.One.v1"])]).await, "");
    assert_eq!(found(vec![item(&["e"], &[], &[]), item(&[], &["x"], &[])]).await, "abe");
    assert_eq!(found(vec![item(&["a"], &[], &[]), item(&[], &[], &[])]).await, "abcde");
}

/// A prefix restricts an item to streams that begin so, whatever else the item asks for.
pub async fn queries_select_by_the_beginning_of_a_stream(subject: &impl Subject) {
    let log = subject.log();
    append(&log, &[event("order/1"), event("orders"), tagged("order/2", &["x"]), event("Order/3")]).await;
    append(&log, &[tagged("payment/order/4", &["x"]), event("order%"), event("order/")]).await;
    let of = |prefix: &str| QueryItem { prefix: Some(name(prefix)), ..QueryItem::default() };
    let found = async |item: QueryItem| {
        let events = read_all(&log, &Query::user().or(item)).await;
        streams(&events).join(" ")
    };
    assert_eq!(found(of("order/")).await, "order/1 order/2 order/");
    assert_eq!(found(of("order%")).await, "order%");
    assert_eq!(found(QueryItem { prefix: Some(name("order/")), ..item(&[], &["x"], &[]) }).await, "order/2");
    let either = QueryItem { prefix: Some(name("order")), ..item(&["order/1", "payment/order/4"], &[], &[]) };
    assert_eq!(found(either).await, "order/1");
    let within = Query::prefix(Namespace::default(), name("order/"));
    assert_eq!(streams(&read_all(&log, &within).await), ["order/1", "order/2", "order/"]);
}

/// A stream is known by its namespace and its name.
pub async fn namespaces_keep_streams_apart(subject: &impl Subject) {
    let log = subject.log();
    let other = Namespace::new("other").unwrap();
    let there = NewEvent { namespace: other.clone(), ..event("a") };
    append(&log, &[event("a"), there.clone()]).await;
    let found = read_all(&log, &Query::stream(other.clone(), name("a"))).await;
    assert_eq!(found.iter().map(|event| event.id).collect::<Vec<_>>(), [there.id]);
    assert_eq!(read_all(&log, &Query::user().within(other.clone())).await.len(), 1);
    assert_eq!(read_all(&log, &Query::user()).await.len(), 2);
    // Versions are apart as well.
    let condition = crate::log::Condition::stream_unchanged(other, name("a"), log.head());
    append(&log, &[event("a")]).await;
    log.append(vec![there_again(&there)], Some(condition)).await.unwrap();
}

fn there_again(there: &NewEvent) -> NewEvent {
    NewEvent { id: crate::log::new_event_id(), ..there.clone() }
}

/// Users' queries see nothing of Tenon's own streams, and the other way round.
pub async fn reserved_streams_are_hidden_from_users(subject: &impl Subject) {
    let log = subject.log();
    append(&log, &[event("a"), tagged("$tenon/registry", &["x"]), event("$tenonx")]).await;
    assert_eq!(streams(&read_all(&log, &Query::user()).await), ["a", "$tenonx"]);
    assert_eq!(streams(&read_all(&log, &Query::reserved()).await), ["$tenon/registry"]);
    assert_eq!(read_all(&log, &Query::everything()).await.len(), 3);
    assert_eq!(read_all(&log, &stream("$tenon/registry")).await.len(), 1);
    let tag = item(&[], &["x"], &[]);
    assert!(read_all(&log, &Query::user().or(tag.clone())).await.is_empty());
    assert_eq!(read_all(&log, &Query { scope: Scope::All, ..Query::user().or(tag) }).await.len(), 1);
}

/// Pages of any size join to the same whole, forward and backward.
pub async fn pages_join_without_gap_in_both_directions(subject: &impl Subject) {
    let log = subject.log();
    for round in 0..60 {
        let count = round % 4 + 1;
        append(&log, &(0..count).map(|n| event(["a", "b", "$tenon/c"][n % 3])).collect::<Vec<_>>()).await;
    }
    for query in [Query::user(), stream("a"), Query::everything()] {
        let whole = read_all(&log, &query).await;
        assert!(!whole.is_empty());
        for limit in [1, 7, 64] {
            assert_eq!(read_from(&log, &query, Position::START, limit).await, whole);
            let mut backward = Vec::new();
            let mut from = END;
            loop {
                let page = log.read(query.clone(), from, Direction::Backward, limit).await.unwrap();
                assert!(page.events.len() <= limit);
                backward.extend(page.events);
                from = page.next;
                if page.at_end {
                    break;
                }
            }
            backward.reverse();
            assert_eq!(backward, whole);
        }
        // From the middle, the position itself is excluded either way.
        let middle = whole[whole.len() / 2].position;
        let newer = read_from(&log, &query, middle, 10).await;
        assert_eq!(newer, whole[whole.len() / 2 + 1..]);
        let older = log.read(query.clone(), middle, Direction::Backward, 1).await.unwrap();
        assert_eq!(older.events, whole[whole.len() / 2 - 1..whole.len() / 2]);
    }
}

/// What is up to a head that was answered stays as it is, whatever is appended meanwhile.
pub async fn nothing_appears_at_or_below_a_head(subject: &impl Subject) {
    let log = subject.log();
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for _ in 0..25 {
                    append(&log, &[event("a"), event("b")]).await;
                }
            })
        })
        .collect();
    let mut seen: Vec<Event> = Vec::new();
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let head = log.head();
        let now = read_all(&log, &Query::user()).await;
        let below = now.iter().filter(|event| event.position <= head).count();
        assert!(now.starts_with(&seen), "an event appeared at or below a head, or is gone");
        seen = now.into_iter().take(below).collect();
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let all = read_all(&log, &Query::user()).await;
    assert!(all.starts_with(&seen));
    assert_eq!(all.len(), 400);
    assert_eq!(all.last().unwrap().position, log.head());
}

/// A query that is too large is refused.
pub async fn queries_have_bounds(subject: &impl Subject) {
    let log = subject.log();
    let items = (0..=MAX_QUERY_ITEMS).fold(Query::user(), |query, _| query.or(item(&["a"], &[], &[])));
    let names = (0..=MAX_ITEM_NAMES).map(|n| StreamName::new(&n.to_string()).unwrap()).collect();
    let names = Query::user().or(QueryItem { streams: names, ..QueryItem::default() });
    for query in [items, names] {
        let error = log.read(query, Position::START, Direction::Forward, 1).await.unwrap_err();
        assert!(matches!(error, ReadError::Invalid(_)), "{error}");
    }
}
