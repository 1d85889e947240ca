use super::*;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

fn is_ready(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
    matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(()))
}

#[test]
fn beginning_is_seen_at_once_and_ends_nobody() {
    let drain = Drain::default();
    let mut over = pin!(drain.is_over());
    assert!(!is_ready(over.as_mut()) && !drain.has_begun());
    drain.begin();
    assert!(!is_ready(over.as_mut()) && drain.has_begun());
}

#[test]
fn its_end_is_told_to_those_who_wait_and_to_those_who_come_later() {
    let drain = Drain::default();
    let (mut one, mut other) = (pin!(drain.is_over()), pin!(drain.is_over()));
    assert!(!is_ready(one.as_mut()) && !is_ready(other.as_mut()));
    drain.end();
    assert!(is_ready(one) && is_ready(other) && is_ready(pin!(drain.is_over())));
    assert!(drain.has_begun());
}

#[test]
fn its_beginning_is_told_to_those_who_wait_and_to_those_who_come_later() {
    let drain = Drain::default();
    let mut waiting = pin!(drain.begins());
    assert!(!is_ready(waiting.as_mut()));
    drain.begin();
    assert!(is_ready(waiting) && is_ready(pin!(drain.begins())));
    let mut over = pin!(drain.is_over());
    assert!(!is_ready(over.as_mut()));
    drain.end();
    assert!(is_ready(over));
}
