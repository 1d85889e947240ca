//! The contract of the [`Log`] port as code: one function for each law, which every engine runs unchanged.
//!
//! An engine's tests implement [`Subject`] and say `contract_tests!(make_subject)`, which makes a test of
//! each law on a subject of its own. A law panics with what was broken. Laws use no clock and no sleep; they
//! need a tokio runtime.
//!
//! Left out on purpose: durability, which cannot be seen from outside without breaking the machine; the
//! fault schedules and the kill test are for that.

#![allow(clippy::panic, clippy::unwrap_used, clippy::missing_panics_doc, reason = "a law fails by panicking")]

pub mod appends;
pub mod deletion;
pub mod keeping;
pub mod reads;
pub mod streams;
pub mod subscriptions;

use crate::log::{Appended, BoxFuture, Direction, Event, Log, NewEvent, Page, Query, QueryItem};
use bytes::Bytes;
use std::sync::Arc;
use tenon_core::{EventType, Namespace, Position, StreamName, Tag, Timestamp};

/// An engine under test: one log, empty at first.
pub trait Subject: Send + Sync {
    /// The log, as it is open now.
    fn log(&self) -> Arc<dyn Log>;

    /// Closes the log and opens it again, as a restarted process would; answers the log as it is open then.
    fn reopen(&self) -> BoxFuture<'_, Arc<dyn Log>>;

    /// Sets the clock that the log goes by, if it can be set.
    fn set_time(&self, now: Timestamp) -> bool;
}

/// Makes a test of each law. The argument is a function that makes a new [`Subject`]; with `async` before it, one whose
/// future does.
#[macro_export]
macro_rules! contract_tests {
    (async $subject:expr) => {
        $crate::contract_tests! { @laws (($subject)().await) }
    };
    (@laws $subject:tt) => {
        $crate::contract_tests! { @each $subject;
            appends: positions_increase_in_the_order_of_appends,
            appends: an_append_over_several_streams_is_seen_whole,
            appends: a_condition_that_does_not_hold_appends_nothing,
            appends: one_of_racing_conditional_appends_wins,
            appends: a_condition_may_cross_streams_by_tag,
            appends: a_condition_must_name_a_stream_or_a_tag,
            appends: a_repeated_append_changes_nothing,
            appends: a_repeated_append_is_recognised_after_reopening,
            appends: an_id_of_another_append_is_refused,
            appends: bounds_are_kept,
            appends: the_largest_append_is_taken,
            appends: time_never_goes_backwards,
            deletion: a_deleted_stream_is_seen_as_deleted,
            deletion: a_deleted_stream_is_as_good_as_new,
            deletion: a_deletion_is_an_append_under_a_condition,
            deletion: a_deletion_is_kept_after_reopening,
            deletion: a_deletion_concerns_one_stream_of_one_namespace,
            deletion: what_cannot_be_deleted_is_refused,
            reads: queries_select_by_stream_tag_and_type,
            reads: queries_select_by_the_beginning_of_a_stream,
            reads: namespaces_keep_streams_apart,
            reads: reserved_streams_are_hidden_from_users,
            reads: pages_join_without_gap_in_both_directions,
            reads: nothing_appears_at_or_below_a_head,
            reads: queries_have_bounds,
            streams: streams_are_listed_in_order_by_namespace_and_prefix,
            streams: pages_of_streams_join,
            streams: a_deleted_stream_is_listed_again_when_it_goes_on,
            streams: what_is_not_served_is_not_listed,
            streams: streams_are_listed_after_reopening,
            subscriptions: a_subscription_catches_up_and_goes_live_without_gap,
            subscriptions: a_slow_subscriber_misses_nothing,
            subscriptions: a_filtered_subscription_tells_how_far_it_is,
            subscriptions: a_cancelled_wait_loses_nothing,
            subscriptions: a_subscription_ends_when_the_log_closes,
            keeping: everything_is_there_after_reopening,
            keeping: what_is_before_the_mark_is_refused,
            keeping: reserved_streams_outlive_the_mark,
            keeping: the_mark_is_kept_and_never_goes_back,
            keeping: snapshots_are_kept_by_key_and_schema,
            keeping: a_snapshot_ahead_of_the_log_is_not_served,
        }
    };
    (@each $subject:tt; $($group:ident: $law:ident,)*) => {
        $(
            #[tokio::test]
            async fn $law() {
                let subject = $subject;
                $crate::contract::$group::$law(&subject).await;
            }
        )*
    };
    ($subject:expr) => {
        $crate::contract_tests! { @laws (($subject)()) }
    };
}

/// An event of a stream of the default namespace.
fn event(stream: &str) -> NewEvent {
    typed(stream, "test.Happened.v1")
}

fn typed(stream: &str, event_type: &str) -> NewEvent {
    let data = Bytes::copy_from_slice(stream.as_bytes());
    NewEvent::new(Namespace::default(), name(stream), EventType::new(event_type).unwrap(), data)
}

fn tagged(stream: &str, tags: &[&str]) -> NewEvent {
    NewEvent { tags: tags.iter().map(|tag| Tag::new(tag).unwrap()).collect(), ..event(stream) }
}

fn name(stream: &str) -> StreamName {
    StreamName::new(stream).unwrap()
}

fn stream(stream: &str) -> Query {
    Query::stream(Namespace::default(), name(stream))
}

fn item(streams: &[&str], tags: &[&str], types: &[&str]) -> QueryItem {
    QueryItem {
        streams: streams.iter().map(|stream| name(stream)).collect(),
        prefix: None,
        tags: tags.iter().map(|tag| Tag::new(tag).unwrap()).collect(),
        types: types.iter().map(|event_type| EventType::new(event_type).unwrap()).collect(),
    }
}

async fn append(log: &Arc<dyn Log>, events: &[NewEvent]) -> Appended {
    log.append(events.to_vec(), None).await.unwrap()
}

/// Everything that matches after a position, by pages of `limit`.
async fn read_from(log: &Arc<dyn Log>, query: &Query, from: Position, limit: usize) -> Vec<Event> {
    let (mut events, mut from) = (Vec::new(), from);
    loop {
        let Page { events: more, next, at_end } =
            log.read(query.clone(), from, Direction::Forward, limit).await.unwrap();
        events.extend(more);
        from = next;
        if at_end {
            return events;
        }
    }
}

async fn read_all(log: &Arc<dyn Log>, query: &Query) -> Vec<Event> {
    read_from(log, query, Position::START, 1_000).await
}

/// Whether the log's events are these, in this order.
fn assert_same(found: &[Event], expected: &[NewEvent]) {
    let as_appended =
        |(event, new): (&Event, &NewEvent)| *event == new.clone().into_event(event.position, event.time);
    assert_eq!(found.len(), expected.len(), "{found:?} instead of {expected:?}");
    assert!(found.iter().zip(expected).all(as_appended), "{found:?} instead of {expected:?}");
}
