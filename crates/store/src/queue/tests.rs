use super::*;
use bytes::Bytes;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use tenon_core::{EventType, Namespace, StreamName};

fn request(stream: &str, bytes: usize) -> Request {
    let stream = StreamName::new(stream).unwrap();
    let event_type = EventType::new("t").unwrap();
    let event = NewEvent::new(Namespace::default(), stream, event_type, Bytes::from(vec![0; bytes]));
    Request { events: vec![event], condition: None }
}

fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn streams(work: Option<Work>) -> Vec<String> {
    match work {
        Some(Work::Appends(group)) => {
            group.iter().map(|queued| queued.request.events[0].stream.to_string()).collect()
        }
        other => panic!("expected appends, got {other:?}"),
    }
}

#[test]
fn reserved_streams_go_first() {
    let queue = Queue::new(1 << 20, usize::MAX);
    let mut user = pin!(queue.append(request("a", 1)));
    let mut reserved = pin!(queue.append(request("$tenon/b", 1)));
    assert!(poll(user.as_mut()).is_pending() && poll(reserved.as_mut()).is_pending());
    assert_eq!(streams(queue.take()), ["$tenon/b", "a"]);
}

#[test]
fn a_full_line_holds_back_its_own_and_nobody_else() {
    let queue = Queue::new(4_096, usize::MAX);
    let mut first = pin!(queue.append(request("a", 3_000)));
    let mut second = pin!(queue.append(request("b", 3_000)));
    let mut reserved = pin!(queue.append(request("$tenon/c", 3_000)));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    assert!(poll(reserved.as_mut()).is_pending());
    let work = queue.take();
    assert_eq!(streams(work), ["$tenon/c", "a"]);
    // Their room was given back with them.
    assert!(poll(second.as_mut()).is_pending());
    assert_eq!(streams(queue.take()), ["b"]);
}

#[test]
fn closing_refuses_what_waits_for_room_and_finishes_what_is_queued() {
    let queue = Queue::new(4_096, usize::MAX);
    let mut queued = pin!(queue.append(request("a", 3_000)));
    let mut waiting = pin!(queue.append(request("b", 3_000)));
    assert!(poll(queued.as_mut()).is_pending() && poll(waiting.as_mut()).is_pending());
    queue.close();
    assert!(matches!(poll(waiting.as_mut()), Poll::Ready(Err(AppendError::Closed(_)))));
    assert_eq!(streams(queue.take()), ["a"]);
    assert!(queue.take().is_none());
}

#[test]
fn what_is_forgotten_is_answered_as_unknown() {
    let queue = Queue::new(4_096, usize::MAX);
    let mut queued = pin!(queue.append(request("a", 1)));
    assert!(poll(queued.as_mut()).is_pending());
    queue.clear();
    assert!(matches!(poll(queued.as_mut()), Poll::Ready(Err(AppendError::Unknown(_)))));
}

#[test]
fn a_task_takes_groups_of_so_many_events_until_the_queue_is_closed() {
    let queue = Queue::new(1 << 20, 2);
    let mut appends = ["a", "b", "c"].map(|stream| Box::pin(queue.append(request(stream, 1))));
    let mut early = pin!(queue.next_group());
    assert!(poll(early.as_mut()).is_pending());
    for append in &mut appends {
        assert!(poll(append.as_mut()).is_pending());
    }
    let taken = |group: Poll<Option<Vec<Queued>>>| match group {
        Poll::Ready(group) => group.map(|group| streams(Some(Work::Appends(group)))),
        Poll::Pending => panic!("nothing is queued"),
    };
    assert_eq!(taken(poll(early.as_mut())).unwrap(), ["a", "b"]);
    queue.close();
    assert_eq!(taken(poll(pin!(queue.next_group()))).unwrap(), ["c"]);
    assert_eq!(taken(poll(pin!(queue.next_group()))), None);
    // What the committer drops is unknown.
    assert!(matches!(poll(appends[2].as_mut()), Poll::Ready(Err(AppendError::Unknown(_)))));
}

/// How long a thread that takes waits for others is bounded by how long it was away, so this one may be away for a minute.
fn away(queue: &mut Queue) {
    queue.patience = Duration::from_mins(1);
    let mut lines = queue.lines();
    let (last, taken) = lines.last.unwrap();
    lines.last = Some((last, taken.checked_sub(Duration::from_mins(1)).unwrap()));
}

#[test]
fn a_group_is_waited_for_until_it_is_as_large_as_the_last_one() {
    let mut queue = Queue::new(1 << 20, usize::MAX);
    {
        let (mut a, mut b) = (pin!(queue.append(request("a", 1))), pin!(queue.append(request("b", 1))));
        assert!(poll(a.as_mut()).is_pending() && poll(b.as_mut()).is_pending());
        assert_eq!(streams(queue.take()), ["a", "b"]);
    }
    away(&mut queue);
    let (mut c, mut d) = (pin!(queue.append(request("c", 1))), pin!(queue.append(request("d", 1))));
    assert!(poll(c.as_mut()).is_pending());
    std::thread::scope(|scope| {
        let taking = scope.spawn(|| streams(queue.take()));
        while queue.lines().wake_at != Some(2) {
            std::thread::yield_now();
        }
        // It may have been taken, and dropped unanswered, by the time this looks.
        _ = poll(d.as_mut());
        assert_eq!(taking.join().unwrap(), ["c", "d"]);
    });
}

#[test]
fn a_group_that_nobody_joins_is_taken_and_whoever_appends_alone_waits_for_nobody() {
    let queue = Queue::new(1 << 20, usize::MAX);
    let (mut a, mut b) = (pin!(queue.append(request("a", 1))), pin!(queue.append(request("b", 1))));
    assert!(poll(a.as_mut()).is_pending() && poll(b.as_mut()).is_pending());
    assert_eq!(streams(queue.take()), ["a", "b"]);
    let mut c = pin!(queue.append(request("c", 1)));
    assert!(poll(c.as_mut()).is_pending());
    assert_eq!(streams(queue.take()), ["c"]);
    std::thread::scope(|scope| {
        let taking = scope.spawn(|| streams(queue.take()));
        while queue.lines().wake_at != Some(1) {
            std::thread::yield_now();
        }
        let mut d = pin!(queue.append(request("d", 1)));
        // It may have been taken, and dropped unanswered, by the time this looks.
        _ = poll(d.as_mut());
        assert_eq!(taking.join().unwrap(), ["d"]);
    });
}
