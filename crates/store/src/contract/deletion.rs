//! Laws of deleted streams.

use super::{Subject, append, assert_same, event, name, read_all, read_from, stream, tagged};
use crate::log::{
    AppendError, Changed, Condition, Direction, END, Event, InvalidInput, Log, NewEvent, Query, QueryItem,
};
use std::sync::Arc;
use tenon_core::{Namespace, Position, Tag};

async fn delete(log: &Arc<dyn Log>, stream: &str) -> Position {
    log.delete_stream(Namespace::default(), name(stream), None).await.unwrap().last()
}

fn tag(tag: &str) -> Query {
    Query::tag(Namespace::default(), Tag::new(tag).unwrap())
}

/// What is read of a log: whichever way, it must be the same.
async fn seen(log: &Arc<dyn Log>, query: Query) -> Vec<Event> {
    let forward = read_from(log, &query, Position::START, 3).await;
    let mut backward = Vec::new();
    let mut from = END;
    loop {
        let page = log.read(query.clone(), from, Direction::Backward, 3).await.unwrap();
        backward.extend(page.events);
        from = page.next;
        if page.at_end {
            break;
        }
    }
    backward.reverse();
    assert_eq!(forward, backward);
    forward
}

/// Of a deleted stream every reader sees the deletion, and nothing before it, whatever it asks for.
pub async fn a_deleted_stream_is_seen_as_deleted(subject: &impl Subject) {
    let log = subject.log();
    for _ in 0..5 {
        append(&log, &[tagged("a", &["both"]), tagged("b", &["both"])]).await;
    }
    let before = read_all(&log, &Query::user()).await;
    let deleted = delete(&log, "a").await;
    append(&log, &[event("b")]).await;
    let of_a = seen(&log, stream("a")).await;
    assert_eq!(of_a.iter().map(|event| event.position).collect::<Vec<_>>(), [deleted]);
    assert!(of_a[0].is_deletion());
    assert_eq!(seen(&log, stream("b")).await.len(), 6);
    assert_eq!(seen(&log, tag("both")).await.len(), 5);
    assert_eq!(seen(&log, Query::prefix(Namespace::default(), name("a"))).await.len(), 1);
    let typed = QueryItem { types: [before[0].event_type.clone()].into(), ..QueryItem::default() };
    assert_eq!(seen(&log, Query::user().or(typed)).await.len(), 6);
    for query in [Query::user(), Query::everything()] {
        let all = seen(&log, query).await;
        assert_eq!(all.len(), 7);
        assert!(all.iter().all(|event| event.stream != name("a") || event.is_deletion()));
    }
    let mut subscription = log.subscribe(Query::user(), Position::START);
    let mut told = Vec::new();
    while told.len() < 7 {
        told.push(subscription.next().await.unwrap());
    }
    assert_eq!(told, seen(&log, Query::user()).await);
}

/// Appending to a deleted stream opens it again, as if it were new; deleting it again, too.
pub async fn a_deleted_stream_is_as_good_as_new(subject: &impl Subject) {
    let log = subject.log();
    let new = || Some(Condition::stream_is_new(Namespace::default(), name("a")));
    append(&log, &[event("a"), event("b")]).await;
    for _ in 0..3 {
        let deleted = delete(&log, "a").await;
        let again = event("a");
        let opened = log.append(vec![again.clone()], new()).await.unwrap().last();
        let error = log.append(vec![event("a")], new()).await.unwrap_err();
        assert!(matches!(error, AppendError::Conflict { at } if at == opened), "{error}");
        assert!(log.append(vec![again.clone()], new()).await.unwrap().duplicate);
        let of_a = seen(&log, stream("a")).await;
        assert_eq!(of_a.iter().map(|event| event.position).collect::<Vec<_>>(), [deleted, opened]);
        assert_same(&of_a[1..], &[again]);
    }
    delete(&log, "a").await;
    append(&log, &[event("a")]).await;
    assert_eq!(seen(&log, stream("a")).await.len(), 2);
    // A condition on tags sees what a reader sees.
    append(&log, &[tagged("c", &["seat:7"])]).await;
    delete(&log, "c").await;
    let free = Condition { query: tag("seat:7"), after: Position::START };
    log.append(vec![tagged("d", &["seat:7"])], Some(free)).await.unwrap();
}

/// A deletion is refused when the stream has changed, and counts as a change itself.
pub async fn a_deletion_is_an_append_under_a_condition(subject: &impl Subject) {
    let log = subject.log();
    let read = append(&log, &[event("a")]).await.last();
    let later = append(&log, &[event("a")]).await.last();
    let deleting = |after| log.delete_stream(Namespace::default(), name("a"), Some(after));
    let error = deleting(read).await.unwrap_err();
    assert!(matches!(error, AppendError::Conflict { at } if at == later), "{error}");
    assert_eq!(error.changed(), Changed::No);
    assert_eq!(seen(&log, stream("a")).await.len(), 2);
    let deletion = NewEvent::deletion(Namespace::default(), name("a"));
    let unchanged = |after| Some(Condition::stream_unchanged(Namespace::default(), name("a"), after));
    let deleted = log.append(vec![deletion.clone(), event("b")], unchanged(later)).await;
    // Not the same append: `b` has another id.
    let error = log.append(vec![deletion.clone()], unchanged(later)).await.map(|it| it.duplicate);
    assert!(matches!(error, Ok(true)), "{error:?}");
    let deleted = deleted.unwrap().positions[0];
    let error = log.append(vec![event("a")], unchanged(later)).await.unwrap_err();
    assert!(matches!(error, AppendError::Conflict { at } if at == deleted), "{error}");
    log.append(vec![event("a")], unchanged(deleted)).await.unwrap();
    // What the same append has after the deletion is of the stream that was opened again.
    let all = vec![event("a"), NewEvent::deletion(Namespace::default(), name("a")), event("a")];
    append(&log, &all).await;
    assert_same(&seen(&log, stream("a")).await, &all[1..]);
}

/// A restart changes nothing of it.
pub async fn a_deletion_is_kept_after_reopening(subject: &impl Subject) {
    let log = subject.log();
    for number in 0..40 {
        append(&log, &[event("a"), event("b")]).await;
        if number % 10 == 5 {
            delete(&log, "a").await;
        }
    }
    let before = seen(&log, Query::user()).await;
    assert_eq!(before.len(), 40 + 1 + 4);
    drop(log);
    let log = subject.reopen().await;
    assert_eq!(seen(&log, Query::user()).await, before);
    assert_eq!(seen(&log, stream("a")).await.len(), 5);
    let unchanged = Condition::stream_unchanged(Namespace::default(), name("a"), Position(1));
    let error = log.append(vec![event("a")], Some(unchanged)).await.unwrap_err();
    let deleted = before.iter().find(|event| event.is_deletion()).unwrap().position;
    assert!(matches!(error, AppendError::Conflict { at } if at == deleted), "{error}");
}

/// Streams of the same name in other namespaces, and of a longer name, are others.
pub async fn a_deletion_concerns_one_stream_of_one_namespace(subject: &impl Subject) {
    let log = subject.log();
    let elsewhere = NewEvent { namespace: Namespace::new("sales").unwrap(), ..event("a") };
    append(&log, &[event("a"), elsewhere.clone(), event("a/b")]).await;
    delete(&log, "a").await;
    let left = seen(&log, Query::user()).await;
    assert_same(&left[..2], &[elsewhere, left_of(&left[1])]);
    assert_eq!((left.len(), left[1].stream.as_str()), (3, "a/b"));
}

/// The event as it was appended.
fn left_of(event: &Event) -> NewEvent {
    let Event { id, namespace, stream, event_type, tags, data, metadata, .. } = event.clone();
    NewEvent { id, namespace, stream, event_type, tags, data, metadata }
}

/// Tenon's own streams are not deleted, and deletions have no tags.
pub async fn what_cannot_be_deleted_is_refused(subject: &impl Subject) {
    let log = subject.log();
    append(&log, &[event("$tenon/a")]).await;
    let reserved = NewEvent::deletion(Namespace::default(), name("$tenon/a"));
    let marked = NewEvent {
        tags: [Tag::new("a:1").unwrap()].into(),
        ..NewEvent::deletion(Namespace::default(), name("a"))
    };
    for deletion in [reserved, marked] {
        let error = log.append(vec![deletion], None).await.unwrap_err();
        assert!(matches!(error, AppendError::Invalid(InvalidInput::Deletion { .. })), "{error}");
    }
    assert_eq!(seen(&log, Query::reserved()).await.len(), 1);
}
