use super::*;
use crate::testing::{Fixture, event};
use crate::{EventStore, EventStoreOptions};
use std::collections::BTreeMap;
use tenon_core::group::{Config, Ordering, ParkedKey};
use tenon_core::retry::{Backoff, Delay, Jitter};
use tenon_store::lease::MemoryLeases;
use tenon_store::{Log, MemoryLog};

fn name(text: &str) -> GroupName {
    GroupName { namespace: Namespace::default(), name: text.parse().unwrap() }
}

/// A subscription to everything from the beginning, which tries again at once.
fn definition(text: &str) -> Definition {
    let delay = Delay::Fixed(Duration::ZERO);
    let backoff = Backoff { delay, jitter: Jitter::None, max_delay: Duration::ZERO };
    let config = Config { deliveries: 3, backoff, ..Config::default() };
    let of_types = Definition::of_types(Namespace::default(), text.parse().unwrap(), BTreeSet::new());
    Definition { start: Start::Beginning, config, ..of_types }
}

async fn start(fixture: &Fixture) -> Bus {
    Bus::start(&fixture.store, BusOptions::default()).await.unwrap()
}

/// Another server on the same log, as after a crash: the first one has not stopped.
async fn again(log: &MemoryLog) -> Bus {
    let store = EventStore::new(log.clone().into_log(), EventStoreOptions::default());
    Bus::start(&store, BusOptions::default()).await.unwrap()
}

async fn take(member: &mut Member, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.extend(member.next().await.expect("there is more"));
    }
    assert_eq!(taken.len(), count);
    taken
}

fn positions(deliveries: &[Delivery]) -> Vec<u64> {
    let mut positions: Vec<u64> = deliveries.iter().map(|it| it.event.position.0).collect();
    positions.sort_unstable();
    positions
}

async fn status(bus: &Bus, of: &str) -> Status {
    bus.describe(&name(of)).await.unwrap().status
}

/// Waits until something is so of a group.
async fn until(bus: &Bus, of: &str, is_so: impl Fn(&Status) -> bool) -> Status {
    loop {
        let status = status(bus, of).await;
        if is_so(&status) {
            return status;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_event_is_given_to_one_member_until_it_is_acknowledged() {
    let fixture = Fixture::new();
    fixture.append(&["a", "b", "c"]).await;
    let bus = start(&fixture).await;
    let defined = bus.define(definition("all"), None).await.unwrap();
    assert_eq!(defined, Defined { changed: true, from: Position::START });
    assert!(!bus.define(definition("all"), None).await.unwrap().changed);
    let mut ada = bus.join(&name("all"), 10).await.unwrap();
    let given = take(&mut ada, 3).await;
    assert_eq!(positions(&given), [1, 2, 3]);
    ada.ack(given.iter().map(|it| it.ticket).collect()).await;
    let status = until(&bus, "all", |status| status.counts.acked == 3).await;
    assert_eq!((status.held, status.in_flight), (0, 0));
    assert!(status.low >= Position(3));
    let mut bob = bus.join(&name("all"), 10).await.unwrap();
    fixture.append(&["d", "e"]).await;
    assert_eq!((take(&mut ada, 1).await.len(), take(&mut bob, 1).await.len()), (1, 1));
}

#[tokio::test]
async fn a_member_that_leaves_has_its_events_given_to_another() {
    let fixture = Fixture::new();
    fixture.append(&["a", "b"]).await;
    let bus = start(&fixture).await;
    bus.define(definition("all"), None).await.unwrap();
    let mut ada = bus.join(&name("all"), 10).await.unwrap();
    take(&mut ada, 2).await;
    let mut bob = bus.join(&name("all"), 10).await.unwrap();
    drop(ada);
    let given = take(&mut bob, 2).await;
    assert_eq!(positions(&given), [1, 2]);
    assert!(given.iter().all(|delivery| delivery.attempt == 2));
}

#[tokio::test]
async fn events_of_a_stream_wait_for_the_one_before_and_a_parked_one_blocks_them() {
    let fixture = Fixture::new();
    fixture.append(&["a", "a", "b"]).await;
    let bus = start(&fixture).await;
    bus.define(definition("all"), None).await.unwrap();
    let mut ada = bus.join(&name("all"), 10).await.unwrap();
    let mut given = take(&mut ada, 2).await;
    assert_eq!(positions(&given), [1, 3]);
    for attempt in 1..=3 {
        let first = given.iter().find(|it| it.event.position == Position(1)).unwrap();
        assert_eq!(first.attempt, attempt);
        ada.nack(first.ticket, None).await;
        if attempt < 3 {
            given = take(&mut ada, 1).await;
        }
    }
    until(&bus, "all", |status| status.parked == 1).await;
    let parked = bus.parked(&name("all"), Position::START, 10).await.unwrap();
    assert_eq!((parked[0].at, parked[0].parked.attempts), (Position(1), 3));
    assert_eq!(parked[0].event.as_ref().unwrap().stream.as_str(), "a");
    assert!(ada.try_next().is_none());
    assert_eq!(bus.retry(&name("all"), BTreeSet::new()).await.unwrap(), 1);
    let given = take(&mut ada, 1).await;
    assert_eq!(positions(&given), [1]);
    ada.ack(vec![given[0].ticket]).await;
    assert_eq!(positions(&take(&mut ada, 1).await), [2]);
    let refused = bus.drop_parked(&name("all"), [Position(1)].into()).await.unwrap_err();
    assert_eq!(refused.code, Code::SubscriptionNotParked);
}

#[tokio::test]
async fn after_a_crash_what_was_not_settled_is_given_again_and_what_was_kept_is_not() {
    let fixture = Fixture::new();
    fixture.append(&["a", "b", "c"]).await;
    let first = start(&fixture).await;
    first.define(definition("all"), None).await.unwrap();
    let mut ada = first.join(&name("all"), 10).await.unwrap();
    let given = take(&mut ada, 3).await;
    ada.ack(given.iter().filter(|it| it.event.position.0 != 2).map(|it| it.ticket).collect()).await;
    until(&first, "all", |status| status.counts.acked == 2).await;
    first.stop().await;
    assert_eq!(ada.next().await, None);

    let second = again(&fixture.log).await;
    let mut bob = second.join(&name("all"), 10).await.unwrap();
    let given = take(&mut bob, 1).await;
    assert_eq!((positions(&given), given[0].attempt), (vec![2], 2));
    assert_eq!(status(&second, "all").await.counts.acked, 2);
}

#[tokio::test]
async fn a_driver_that_was_taken_over_records_nothing_any_more() {
    let fixture = Fixture::new();
    fixture.append(&["a", "b"]).await;
    let stale = start(&fixture).await;
    stale.define(definition("all"), None).await.unwrap();
    let mut ada = stale.join(&name("all"), 10).await.unwrap();
    let given = take(&mut ada, 2).await;

    let fresh = again(&fixture.log).await;
    let mut bob = fresh.join(&name("all"), 10).await.unwrap();
    let again = take(&mut bob, 2).await;
    ada.ack(given.iter().map(|it| it.ticket).collect()).await;
    bob.ack(vec![again[0].ticket]).await;
    until(&fresh, "all", |status| status.counts.acked == 1).await;
    // What the stale one does not know yet it learns when it is to keep something.
    let refused = stale.seek(&name("all"), Start::Beginning).await.unwrap_err();
    assert!(matches!(refused.code, Code::SubscriptionEnded | Code::ServerOffDuty), "{refused:?}");
    assert_eq!(ada.next().await, None);
}

#[tokio::test]
async fn a_subscription_that_is_made_again_begins_anew() {
    let fixture = Fixture::new();
    fixture.append(&["a"]).await;
    let bus = start(&fixture).await;
    for _ in 0..2 {
        bus.define(definition("all"), None).await.unwrap();
        let mut ada = bus.join(&name("all"), 10).await.unwrap();
        let given = take(&mut ada, 1).await;
        ada.ack(vec![given[0].ticket]).await;
        until(&bus, "all", |status| status.counts.acked == 1).await;
        bus.delete(&name("all"), None).await.unwrap();
        assert_eq!(ada.next().await, None);
    }
    let refused = bus.join(&name("all"), 10).await.unwrap_err();
    assert_eq!(refused.code, Code::SubscriptionUnknown);
}

#[tokio::test]
async fn a_subscription_that_is_changed_goes_on_where_it_is() {
    let fixture = Fixture::new();
    fixture.append(&["a", "b"]).await;
    let bus = start(&fixture).await;
    bus.define(definition("all"), None).await.unwrap();
    let mut ada = bus.join(&name("all"), 1).await.unwrap();
    let given = take(&mut ada, 1).await;
    ada.ack(vec![given[0].ticket]).await;
    until(&bus, "all", |status| status.counts.acked == 1).await;
    let changed = Definition { ordering: Ordering::Unordered, ..definition("all") };
    assert!(bus.define(changed, None).await.unwrap().changed);
    let mut bob = bus.join(&name("all"), 1).await.unwrap();
    assert_eq!(positions(&take(&mut bob, 1).await), [2]);
}

#[tokio::test]
async fn a_subscription_of_a_manifest_begins_where_that_was_applied() {
    let fixture = Fixture::new();
    fixture.append(&["a", "b", "c"]).await;
    let bus = start(&fixture).await;
    let declared = Definition { start: Start::End, ..definition("all") };
    assert_eq!(bus.declare(declared.clone(), Position(1), None).await.unwrap().from, Position(1));
    // A later manifest that has it too changes nothing.
    let again = bus.declare(declared, Position(3), None).await.unwrap();
    assert_eq!((again.changed, again.from), (false, Position(1)));
    let mut ada = bus.join(&name("all"), 10).await.unwrap();
    assert_eq!(positions(&take(&mut ada, 2).await), [2, 3]);
    // One that says where it begins begins there.
    let whole = bus.declare(definition("whole"), Position(2), None).await.unwrap();
    assert_eq!(whole.from, Position::START);
}

#[tokio::test]
async fn a_seek_gives_everything_again() {
    let fixture = Fixture::new();
    fixture.append(&["a", "b", "c"]).await;
    let bus = start(&fixture).await;
    bus.define(definition("all"), None).await.unwrap();
    let mut ada = bus.join(&name("all"), 10).await.unwrap();
    let given = take(&mut ada, 3).await;
    ada.ack(given.iter().map(|it| it.ticket).collect()).await;
    assert_eq!(bus.seek(&name("all"), Start::After(Position(1))).await.unwrap(), Position(1));
    assert_eq!(positions(&take(&mut ada, 2).await), [2, 3]);
}

#[tokio::test]
async fn only_what_the_filter_names_is_given_and_nothing_of_other_namespaces_or_tenons_own() {
    let fixture = Fixture::new();
    let mut other = event("a");
    other.namespace = Namespace::new("other").unwrap();
    let mut typed = event("a");
    typed.event_type = "payment.completed".parse().unwrap();
    fixture.log.append(vec![event("a"), other, typed], None).await.unwrap();
    let bus = start(&fixture).await;
    let mut of_type = definition("typed");
    of_type.filter.types.insert("payment.completed".parse().unwrap());
    bus.define(of_type, None).await.unwrap();
    bus.define(definition("all"), None).await.unwrap();
    let mut typed = bus.join(&name("typed"), 10).await.unwrap();
    let mut all = bus.join(&name("all"), 10).await.unwrap();
    assert_eq!(positions(&take(&mut typed, 1).await), [3]);
    assert_eq!(positions(&take(&mut all, 1).await), [1]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_says_so_is_given_later() {
    let fixture = Fixture::new();
    let mut late = event("a");
    let due = tenon_store::system_clock()().after(Duration::from_secs(3_600));
    late.metadata.other.insert(DELIVER_AFTER.to_owned(), due.to_string());
    fixture.log.append(vec![late, event("b")], None).await.unwrap();
    let bus = start(&fixture).await;
    bus.define(definition("all"), None).await.unwrap();
    let mut ada = bus.join(&name("all"), 10).await.unwrap();
    let begun = tokio::time::Instant::now();
    let given = take(&mut ada, 1).await;
    assert_eq!(positions(&given), [2]);
    ada.ack(vec![given[0].ticket]).await;
    assert_eq!(positions(&take(&mut ada, 1).await), [1]);
    assert!(begun.elapsed() >= Duration::from_secs(3_000));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_settled_in_time_is_given_again() {
    let fixture = Fixture::new();
    fixture.append(&["a"]).await;
    let bus = start(&fixture).await;
    bus.define(definition("all"), None).await.unwrap();
    let mut ada = bus.join(&name("all"), 10).await.unwrap();
    let first = take(&mut ada, 1).await;
    let second = take(&mut ada, 1).await;
    assert_eq!(second[0].attempt, 2);
    ada.ack(vec![first[0].ticket]).await;
    ada.ack(vec![second[0].ticket]).await;
    let status = until(&bus, "all", |status| status.counts.acked == 1).await;
    assert_eq!((status.held, status.counts.failed), (0, 1));
}

#[tokio::test]
async fn a_full_subscription_that_says_so_has_publishers_refused() {
    let fixture = Fixture::new();
    fixture.append(&["a", "b", "c"]).await;
    let bus = start(&fixture).await;
    let mut full = definition("all");
    full.config = Config { capacity: 2, when_full: WhenFull::Reject, ..full.config };
    bus.define(full, None).await.unwrap();
    until(&bus, "all", |status| status.held == 2).await;
    assert_eq!(bus.check_room(&event("a")).unwrap_err().code, Code::SubscriptionFull);
    let mut ada = bus.join(&name("all"), 10).await.unwrap();
    let given = take(&mut ada, 2).await;
    ada.ack(given.iter().map(|it| it.ticket).collect()).await;
    let given = take(&mut ada, 1).await;
    ada.ack(vec![given[0].ticket]).await;
    until(&bus, "all", |status| status.counts.acked == 3).await;
    bus.check_room(&event("a")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_fail_and_leave_lose_nothing_and_keep_the_order_of_streams() {
    let fixture = Fixture::new();
    let bus = start(&fixture).await;
    let mut all = definition("all");
    all.config = Config { deliveries: 1_000, capacity: 64, parked_key: ParkedKey::Block, ..all.config };
    bus.define(all, None).await.unwrap();
    let log = fixture.log.clone();
    let writing = tokio::spawn(async move {
        for round in 0..200_u64 {
            let events = (0..10).map(|at| event(["a", "b", "c", "d"][((round + at) % 4) as usize])).collect();
            log.append(events, None).await.unwrap();
        }
    });
    let (done, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let consumers: Vec<_> = (0..3_u64)
        .map(|number| {
            let (bus, done) = (bus.clone(), done.clone());
            tokio::spawn(async move {
                let mut count = number;
                loop {
                    let mut member = bus.join(&name("all"), 4).await.unwrap();
                    // Each stays for a while, and leaves with something unsettled.
                    for _ in 0..50 {
                        let Some(given) = member.next().await else { return };
                        for delivery in given {
                            count += 1;
                            if count % 7 == 0 {
                                member.nack(delivery.ticket, None).await;
                            } else {
                                let event = &delivery.event;
                                done.send((event.stream.clone(), event.position)).unwrap();
                                member.ack(vec![delivery.ticket]).await;
                            }
                        }
                    }
                }
            })
        })
        .collect();
    writing.await.unwrap();
    let mut of_stream: BTreeMap<_, Vec<Position>> = BTreeMap::new();
    let mut distinct = BTreeSet::new();
    while distinct.len() < 2_000 {
        let (stream, at) = seen.recv().await.unwrap();
        if distinct.insert(at) {
            of_stream.entry(stream).or_default().push(at);
        }
    }
    for positions in of_stream.values() {
        assert!(positions.is_sorted(), "the first time, in order");
    }
    consumers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn of_several_servers_one_drives_and_another_goes_on() {
    let fixture = Fixture::new();
    fixture.append(&["a"]).await;
    let leases = MemoryLeases::default();
    let server = || {
        let store = EventStore::new(fixture.log.clone().into_log(), EventStoreOptions::default());
        let options = BusOptions { leases: Some(Arc::new(leases.clone())), ..BusOptions::default() };
        async move { Bus::start(&store, options).await.unwrap() }
    };
    let first = server().await;
    first.on_duty().wait_for(|on_duty| *on_duty).await.unwrap();
    let second = server().await;
    first.define(definition("all"), None).await.unwrap();
    second.changes().wait_for(|at| *at > Position(1)).await.unwrap();
    let refused = second.join(&name("all"), 1).await.unwrap_err();
    assert_eq!(refused.code, Code::ServerOffDuty);
    let mut ada = first.join(&name("all"), 1).await.unwrap();
    take(&mut ada, 1).await;
    first.stop().await;
    second.on_duty().wait_for(|on_duty| *on_duty).await.unwrap();
    let mut bob = second.join(&name("all"), 1).await.unwrap();
    let given = take(&mut bob, 1).await;
    assert_eq!((positions(&given), given[0].attempt), (vec![1], 2));
}
