use super::*;
use crate::testing;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

mod service;

fn service_endpoints() -> impl Strategy<Value = ServiceEndpoints> {
    (testing::revision(), testing::service_ref(), vec(testing::endpoint(), 0..4))
        .prop_map(|(revision, service, endpoints)| ServiceEndpoints { revision, service, endpoints })
}

fn route_changes() -> impl Strategy<Value = RouteChanges> {
    let removed = vec("[a-z]{1,5}".prop_map(|name| name.parse().unwrap()), 0..3);
    (testing::revision(), testing::routes(), removed).prop_map(|(from, mut settings, removed)| {
        let set = settings.gateway.as_mut().map(|it| std::mem::take(&mut it.routes)).unwrap_or_default();
        RouteChanges { from, settings, removed, set }
    })
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        testing::routes().prop_map(Part::Routes),
        route_changes().prop_map(Part::from),
        testing::endpoints().prop_map(Part::Endpoints),
        service_endpoints().prop_map(Part::ServiceEndpoints),
        testing::sidecars().prop_map(Part::Sidecars),
    ]
}

fn stored() -> impl Strategy<Value = Stored> {
    (option::of(testing::routes()), option::of(testing::endpoints()), option::of(testing::sidecars()))
        .prop_map(|(routes, endpoints, sidecars)| Stored { routes, endpoints, sidecars })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_part_survives_the_wire(part in part()) {
        let bytes = v1::SnapshotPart::from(&part).encode_to_vec();
        let message = v1::SnapshotPart::decode(&bytes[..]).unwrap();
        prop_assert_eq!(Part::try_from(message).unwrap(), part);
    }

    #[test]
    fn changes_lead_from_one_state_of_the_routes_to_another(
        old in testing::routes(),
        new in testing::routes(),
        picks in vec(0..3u8, 0..40),
    ) {
        // Some routes stay, some are taken out, some are changed, and those of the other state are added.
        let mut new = new;
        new.revision.log = old.revision.log;
        if let (Some(before), Some(after)) = (&old.gateway, &mut new.gateway) {
            let others = std::mem::take(&mut after.routes);
            for (route, pick) in before.routes.iter().zip(picks.iter().chain(std::iter::repeat(&0))) {
                match pick {
                    0 => after.routes.push(route.clone()),
                    1 => {}
                    _ => after.routes.push(Route { rules: Vec::new(), ..route.clone() }),
                }
            }
            after.routes.extend(others);
        }
        if let Some(changes) = RouteChanges::between(&old, &new) {
            let mut made = old.clone();
            prop_assert!(changes.clone().apply_to(&mut made));
            prop_assert_eq!(&made, &new);
            // Once only, unless nothing has happened in between.
            prop_assert_eq!(changes.apply_to(&mut made), old.revision == new.revision);
        }
    }

    #[test]
    fn what_is_stored_is_read_back(stored in stored()) {
        prop_assert_eq!(Stored::from_bytes(&stored.to_bytes()).unwrap(), stored.clone());
        // The same, piece by piece.
        let mut settings = stored.clone();
        let mut routes = Vec::new();
        if let Some(gateway) = settings.routes.as_mut().and_then(|routes| routes.gateway.as_mut()) {
            routes = std::mem::take(&mut gateway.routes);
        }
        let pieces = routes.iter().flat_map(|route| Stored::more_routes([route]));
        let bytes: Vec<u8> = settings.to_bytes().into_iter().chain(pieces).collect();
        prop_assert_eq!(Stored::from_bytes(&bytes).unwrap(), stored);
    }

    #[test]
    fn a_question_survives_the_wire(
        node in "[a-z]{0,128}",
        routes in option::of(testing::revision()),
        endpoints in option::of(testing::revision()),
        sidecars in option::of(testing::revision()),
        instances in proptest::collection::btree_set(testing::name(), 0..3),
    ) {
        let watch = Watch { node, routes, endpoints, sidecars, instances };
        prop_assert_eq!(Watch::try_from(v1::WatchRequest::from(&watch)).unwrap(), watch);
    }

    #[test]
    fn damaged_bytes_never_panic(stored in stored(), at: proptest::sample::Index, with: u8) {
        let mut bytes = stored.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = with;
        let _ = Stored::from_bytes(&bytes);
        let _ = Stored::from_bytes(&bytes[..at]);
    }
}

fn revision(log: u8, position: u64) -> Revision {
    Revision { log: tenon_core::LogId::from_bytes([log; 16]), position: tenon_core::Position(position) }
}

fn message_revision() -> Option<v1::Revision> {
    Some((&revision(1, 1)).into())
}

fn error_of(part: v1::snapshot_part::Part) -> String {
    Part::try_from(v1::SnapshotPart { part: Some(part) }).unwrap_err().to_string()
}

#[test]
fn an_error_names_the_field() {
    use v1::snapshot_part::Part as Message;
    let service = |name: &str| Some(v1::ServiceRef { name: name.into(), namespace: "default".into() });
    let routes = v1::Routes {
        revision: message_revision(),
        gateway: None,
        services: vec![v1::ServiceTraffic {
            service: service("payment"),
            traffic: Some(v1::Traffic::default()),
        }],
        egress: v1::Egress::Deny.into(),
        ..v1::Routes::default()
    };
    assert_eq!(
        error_of(Message::Routes(routes.clone())),
        "routes.services[0].traffic.balance: 0 is not a value that is known here"
    );
    let egress = v1::Routes { services: Vec::new(), egress: 7, ..routes };
    assert_eq!(error_of(Message::Routes(egress)), "routes.egress: 7 is not a value that is known here");

    let endpoint = v1::Endpoint {
        instance: "payment-1".into(),
        address: "127.0.0.1:0".into(),
        version: "1.0.0".into(),
        weight: 1,
        ..Default::default()
    };
    let of_service =
        v1::EndpointsOfService { service: service("payment"), endpoints: vec![endpoint.clone()] };
    let endpoints = v1::Endpoints { revision: message_revision(), services: vec![of_service] };
    let error = error_of(Message::Endpoints(endpoints));
    assert!(error.starts_with("endpoints.services[0].endpoints[0].address: "), "{error}");

    let good = v1::EndpointsOfService {
        service: service("payment"),
        endpoints: vec![v1::Endpoint { address: "127.0.0.1:80".into(), ..endpoint }],
    };
    let twice = v1::Endpoints { revision: message_revision(), services: vec![good.clone(), good] };
    assert_eq!(error_of(Message::Endpoints(twice)), "endpoints.services[1]: payment is given twice");

    let no_revision = v1::Sidecars { revision: None, sidecars: Vec::new() };
    assert_eq!(error_of(Message::Sidecars(no_revision)), "sidecars.revision: is missing");
    let short = v1::Revision { log_id: vec![1; 15].into(), position: 1 };
    let short = v1::Sidecars { revision: Some(short), sidecars: Vec::new() };
    assert_eq!(error_of(Message::Sidecars(short)), "sidecars.revision.log_id: must have 16 bytes");

    assert_eq!(Part::try_from(v1::SnapshotPart { part: None }).unwrap_err().to_string(), "part: is missing");
}

#[test]
fn a_copy_of_a_later_version_is_refused() {
    let later = v1::StoredSnapshot { format_version: STORED_VERSION + 1, ..Default::default() };
    assert_eq!(
        Stored::from_bytes(&later.encode_to_vec()),
        Err(StoredError::Version { found: STORED_VERSION + 1 })
    );
    assert_eq!(Stored::from_bytes(&[]), Err(StoredError::Version { found: 0 }));
}

#[test]
fn a_change_to_one_service_leaves_the_others() {
    let endpoint = |instance: &str| Endpoint {
        instance: instance.parse().unwrap(),
        address: "127.0.0.1:80".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        weight: 1,
        healthy: true,
        since: tenon_core::Timestamp::ZERO,
        metadata: Default::default(),
        inbound: None,
    };
    let (order, payment): (ServiceRef, ServiceRef) = ("order".parse().unwrap(), "payment".parse().unwrap());
    let change = |position, endpoints| ServiceEndpoints {
        revision: revision(1, position),
        service: payment.clone(),
        endpoints,
    };
    let services =
        [(order.clone(), vec![endpoint("order-1")]), (payment.clone(), vec![endpoint("payment-1")])];
    let mut endpoints = Endpoints { revision: revision(1, 5), services: services.into() };

    assert!(change(6, vec![endpoint("payment-2")]).apply_to(&mut endpoints));
    assert_eq!(endpoints.revision, revision(1, 6));
    assert_eq!(endpoints.services[&payment], [endpoint("payment-2")]);
    assert_eq!(endpoints.services[&order], [endpoint("order-1")]);

    assert!(!change(4, vec![endpoint("payment-3")]).apply_to(&mut endpoints));
    let foreign = ServiceEndpoints { revision: revision(2, 9), ..change(9, Vec::new()) };
    assert!(!foreign.apply_to(&mut endpoints));
    assert_eq!(endpoints.services[&payment], [endpoint("payment-2")]);

    assert!(change(7, Vec::new()).apply_to(&mut endpoints));
    assert!(!endpoints.services.contains_key(&payment));
}
