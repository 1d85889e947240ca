use super::*;
use std::time::Duration;
use tenon_api::problem::Component;
use tenon_core::Timestamp;

fn id(number: u8) -> RequestId {
    RequestId::from_bytes([number; 16])
}

fn hop(at: u64) -> Hop {
    Hop {
        component: Component::Outbound,
        sidecar: None,
        at: Timestamp::from_micros(at),
        duration: Duration::ZERO,
        source: None,
        destination: None,
        method: "GET".into(),
        path: "/".into(),
        status: 503,
        code: None,
        reason: String::new(),
        route: None,
        policy: None,
        timeout: None,
        revision: None,
        attempts: Vec::new(),
    }
}

#[test]
fn hops_of_several_workers_are_told_by_time() {
    let rings = [Ring::new(10), Ring::new(10)];
    rings[0].push(id(1), hop(30));
    rings[0].push(id(2), hop(10));
    rings[1].push(id(1), hop(20));
    let told = explain(rings.iter(), id(1)).unwrap();
    assert_eq!(told.hops, [hop(20), hop(30)]);
    assert_eq!(explain(rings.iter(), id(3)), None);
}

#[test]
fn a_full_ring_forgets_the_oldest() {
    let ring = Ring::new(2);
    for number in 1..=3 {
        ring.push(id(number), hop(u64::from(number)));
    }
    assert_eq!(explain(std::iter::once(&ring), id(1)), None);
    assert!(explain(std::iter::once(&ring), id(2)).is_some());
    assert!(explain(std::iter::once(&ring), id(3)).is_some());
}
