use super::*;
use tenon_api::problem::Component;

pub(crate) fn id(number: u8) -> RequestId {
    RequestId::from_bytes([number; 16])
}

/// A record of a request that came in then and was answered so.
pub(crate) fn record(at: u64, status: u16) -> Record {
    Record {
        trace: Trace::kept(1),
        slow: false,
        bytes: 4,
        labels: Labels { component: Component::Outbound, source: None, destination: None, route: None },
        sidecar: None,
        at: Timestamp::from_micros(at),
        duration: Duration::ZERO,
        method: Method::GET,
        status,
        why: Why::Answered { status, grpc: None },
        policy: None,
        timeout: None,
        revision: None,
        attempts: Vec::new(),
        served: Some(Served {
            instance: Some("payment-1".parse().unwrap()),
            address: "127.0.0.1:80".parse().unwrap(),
            after: Duration::ZERO,
            duration: Duration::ZERO,
            status,
        }),
    }
}

fn ring(capacity: usize) -> (Arc<Ring>, Recorder) {
    let ring = Arc::new(Ring::new(capacity));
    (Arc::clone(&ring), Recorder::new(ring))
}

fn times(ring: &Ring, request: RequestId) -> Vec<u64> {
    let told = explain(std::iter::once(ring), request);
    told.map(|it| it.hops.iter().map(|hop| hop.at.as_micros()).collect()).unwrap_or_default()
}

#[test]
fn hops_of_several_workers_are_told_by_time() {
    let [(one, first), (other, second)] = [ring(10), ring(10)];
    first.push(id(1), record(30, 200), "/");
    first.push(id(2), record(10, 200), "/");
    second.push(id(1), record(20, 503), "/");
    let told = explain([&*one, &*other].into_iter(), id(1)).unwrap();
    assert_eq!(told.hops.iter().map(|hop| hop.at.as_micros()).collect::<Vec<_>>(), [20, 30]);
    assert_eq!(explain([&*one, &*other].into_iter(), id(3)), None);
}

#[test]
fn a_full_ring_forgets_the_oldest() {
    let (ring, recorder) = ring(2);
    for number in 1..=5 {
        recorder.push(id(number), record(u64::from(number), 200), "/");
    }
    let remembered: Vec<_> = (1..=5).map(|number| times(&ring, id(number)).len()).collect();
    assert_eq!(remembered, [0, 0, 0, 1, 1]);
}

#[test]
fn what_went_well_does_not_push_out_what_did_not() {
    let (ring, recorder) = ring(2);
    recorder.push(id(1), record(1, 503), "/");
    for number in 2..=9 {
        recorder.push(id(number), record(u64::from(number), 200), "/");
    }
    assert_eq!(times(&ring, id(1)), [1]);
}

#[test]
fn a_request_that_went_well_is_told_with_who_answered() {
    let (ring, recorder) = ring(2);
    recorder.push(id(1), record(1, 204), "/quote");
    let hop = explain(std::iter::once(&*ring), id(1)).unwrap().hops.remove(0);
    assert_eq!((hop.path.as_str(), hop.reason.as_str()), ("/quote", "the service answered 204"));
    assert_eq!(hop.attempts.len(), 1);
    assert_eq!(hop.attempts[0].instance.as_ref().unwrap().as_str(), "payment-1");
}

#[test]
fn a_worker_does_not_wait_for_a_reader_and_forgets_nothing() {
    let (ring, recorder) = ring(10);
    let reading = ring.ordinary.look();
    recorder.push(id(1), record(1, 200), "/one");
    recorder.push(id(2), record(2, 503), "/two");
    drop(reading);
    assert_eq!(times(&ring, id(2)), [2]);
    // Whether or not another request comes.
    assert_eq!(times(&ring, id(1)), [1]);
    let reading = ring.ordinary.look();
    recorder.push(id(3), record(3, 200), "/three");
    drop(reading);
    recorder.push(id(3), record(4, 200), "/four");
    assert_eq!(times(&ring, id(3)), [3, 4]);
}

#[test]
fn what_waits_for_a_reader_is_bounded() {
    let (ring, recorder) = ring(10);
    let reading = ring.ordinary.look();
    for _ in 0..2 * MOST_WAITING {
        recorder.push(id(1), record(1, 200), "/");
    }
    drop(reading);
    assert_eq!(lock(&ring.ordinary.late).len(), MOST_WAITING);
}

#[test]
fn what_is_remembered_of_a_text_is_bounded() {
    assert_eq!(cut("/short"), "/short");
    assert_eq!(cut(&"ä".repeat(10_000)), "ä".repeat(200));
    assert_eq!(cut(&"ä".repeat(150)), "ä".repeat(150));
}

#[test]
fn a_reader_that_comes_again_is_told_what_is_new_in_order_and_how_much_it_missed() {
    let (ring, recorder) = ring(4);
    let mut cursor = (0, 0);
    let mut read = |wanted: bool| {
        let mut entries = Vec::new();
        let missed = ring.since(&mut cursor, wanted, &mut entries);
        (entries.iter().map(|it| it.record.at.as_micros()).collect::<Vec<_>>(), missed)
    };
    let push = |at: u64| recorder.push(id(1), record(at, 200), "/");
    assert_eq!(read(true), (vec![], 0));
    (1..=3).for_each(push);
    assert_eq!(read(true), (vec![1, 2, 3], 0));
    (4..=6).for_each(push);
    assert_eq!(read(true), (vec![4, 5, 6], 0));
    (7..=12).for_each(push);
    assert_eq!(read(true), (vec![9, 10, 11, 12], 2));
    (13..=14).for_each(push);
    assert_eq!(read(false), (vec![], 0));
    push(15);
    assert_eq!(read(true), (vec![15], 0));
}

#[test]
fn what_is_slow_is_kept_whatever_the_head_said() {
    let unsampled = |slow| {
        let trace = Trace { sampled: false, ..record(1, 200).trace };
        Record { trace, slow, ..record(1, 200) }
    };
    assert!(!unsampled(false).is_kept());
    assert!(unsampled(true).is_kept());
}
