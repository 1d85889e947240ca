use super::*;
use bytes::Bytes;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use tenon_core::{EventType, Namespace, StreamName};

fn request(stream: &str, bytes: usize) -> Request {
    let stream = StreamName::new(stream).unwrap();
    let event_type = EventType::new("t").unwrap();
    let event = NewEvent::new(Namespace::default(), stream, event_type, Bytes::from(vec![0; bytes]));
    Request { events: vec![event], condition: None }
}

fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The streams of the next group; none if the queue has ended.
fn take(queue: &Queue) -> Option<Vec<String>> {
    let Poll::Ready(group) = poll(pin!(queue.take())) else { panic!("nothing is queued") };
    let stream = |queued: &Queued| queued.request.events[0].stream.to_string();
    group.map(|group| group.iter().map(stream).collect())
}

#[test]
fn reserved_streams_go_first() {
    let queue = Queue::new(1 << 20);
    let mut user = pin!(queue.append(request("a", 1)));
    let mut reserved = pin!(queue.append(request("$tenon/b", 1)));
    assert!(poll(user.as_mut()).is_pending() && poll(reserved.as_mut()).is_pending());
    assert_eq!(take(&queue).unwrap(), ["$tenon/b", "a"]);
}

#[test]
fn a_full_line_holds_back_its_own_and_nobody_else() {
    let queue = Queue::new(4_096);
    let mut first = pin!(queue.append(request("a", 3_000)));
    let mut second = pin!(queue.append(request("b", 3_000)));
    let mut reserved = pin!(queue.append(request("$tenon/c", 3_000)));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    assert!(poll(reserved.as_mut()).is_pending());
    assert_eq!(take(&queue).unwrap(), ["$tenon/c", "a"]);
    // Their room was given back with them.
    assert!(poll(second.as_mut()).is_pending());
    assert_eq!(take(&queue).unwrap(), ["b"]);
}

#[test]
fn closing_refuses_what_waits_for_room_and_finishes_what_is_queued() {
    let queue = Queue::new(4_096);
    let mut queued = pin!(queue.append(request("a", 3_000)));
    let mut waiting = pin!(queue.append(request("b", 3_000)));
    assert!(poll(queued.as_mut()).is_pending() && poll(waiting.as_mut()).is_pending());
    queue.close();
    assert!(matches!(poll(waiting.as_mut()), Poll::Ready(Err(AppendError::Closed(_)))));
    assert_eq!(take(&queue).unwrap(), ["a"]);
    assert!(take(&queue).is_none());
}

#[test]
fn an_append_that_is_dropped_by_the_committer_is_unknown() {
    let queue = Queue::new(4_096);
    let mut queued = pin!(queue.append(request("a", 1)));
    assert!(poll(queued.as_mut()).is_pending());
    take(&queue);
    assert!(matches!(poll(queued.as_mut()), Poll::Ready(Err(AppendError::Unknown(_)))));
}
