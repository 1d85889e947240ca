use super::*;

#[test]
fn ports_differ_lie_in_the_range_and_are_not_taken() {
    let mut ports = Ports { next: 29_998 };
    let taken = BTreeSet::from([29_999, 20_001]);
    let found: [u16; 8] = ports.allocate(&taken).unwrap();
    assert_eq!(BTreeSet::from(found).len(), 8);
    assert!(found.iter().all(|port| RANGE.contains(port) && !taken.contains(port)), "{found:?}");
}

#[test]
fn a_port_that_somebody_listens_on_is_passed_over() {
    let mut ports = Ports::starting_anywhere();
    let [port]: [u16; 1] = ports.allocate(&BTreeSet::new()).unwrap();
    let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let [other]: [u16; 1] = Ports { next: port }.allocate(&BTreeSet::new()).unwrap();
    assert_ne!(other, port);
}

#[test]
fn a_port_is_not_given_out_again_at_once() {
    let mut ports = Ports::starting_anywhere();
    let first: [u16; 3] = ports.allocate(&BTreeSet::new()).unwrap();
    let second: [u16; 3] = ports.allocate(&BTreeSet::new()).unwrap();
    assert!(first.iter().all(|port| !second.contains(port)));
}

#[test]
fn a_full_range_is_an_error() {
    let taken = RANGE.collect();
    let none: io::Result<[u16; 1]> = Ports { next: 20_000 }.allocate(&taken);
    assert_eq!(none.unwrap_err().kind(), io::ErrorKind::AddrInUse);
}
