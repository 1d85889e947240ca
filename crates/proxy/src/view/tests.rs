use super::*;
use tenon_core::availability::Locality;
use tenon_core::manifest::{Gateway, Version};
use tenon_core::route::{Backend, Route, Rule};
use tenon_core::{LogId, Namespace, Position};

pub(crate) fn revision(position: u64) -> Revision {
    Revision { log: LogId::from_bytes([7; 16]), position: Position(position) }
}

pub(crate) fn service(text: &str) -> ServiceRef {
    text.parse().unwrap()
}

fn setting() -> Setting<'static> {
    static NOWHERE: Locality = Locality { region: None, zone: None };
    Setting { now: Timestamp::ZERO, locality: &NOWHERE }
}

pub(crate) fn view(services: &[(&str, &[(&str, &str)])]) -> View {
    let routes = Routes {
        revision: revision(1),
        policies: Default::default(),
        planes: 1,
        gateway: None,
        services: services.iter().map(|(name, _)| (service(name), Traffic::default())).collect(),
        resting: Default::default(),
        egress: Egress::Deny,
        telemetry: Default::default(),
    };
    let endpoint = |(instance, address): &(&str, &str)| Endpoint {
        instance: instance.parse().unwrap(),
        address: address.parse().unwrap(),
        version: Version::default(),
        weight: 1,
        healthy: true,
        since: Timestamp::ZERO,
        metadata: Default::default(),
        inbound: None,
    };
    let endpoints = Endpoints {
        revision: revision(1),
        services: services
            .iter()
            .map(|(name, instances)| (service(name), instances.iter().map(endpoint).collect()))
            .collect(),
    };
    let parts = Parts { routes: Some(routes.into()), endpoints: Some(endpoints.into()), ..Parts::default() };
    View::new(parts, &mut Cells::default(), setting())
}

fn resolve<'a>(view: &'a View, host: &str, namespace: &str) -> Result<&'a ServiceRef, Resolved> {
    match view.resolve(host, &Namespace::new(namespace).unwrap()) {
        Resolved::Mesh(index) => Ok(&view.destinations()[index].service),
        other => Err(other),
    }
}

#[test]
fn a_bare_name_is_of_the_callers_namespace_then_of_the_default_one() {
    let view = view(&[("payment", &[]), ("payment.blue", &[]), ("order", &[])]);
    assert_eq!(resolve(&view, "payment", "blue"), Ok(&service("payment.blue")));
    assert_eq!(resolve(&view, "payment", "default"), Ok(&service("payment")));
    assert_eq!(resolve(&view, "order", "blue"), Ok(&service("order")));
}

#[test]
fn a_qualified_name_is_of_its_namespace_only() {
    let view = view(&[("payment", &[]), ("payment.blue", &[])]);
    assert_eq!(resolve(&view, "payment.blue", "default"), Ok(&service("payment.blue")));
    assert_eq!(resolve(&view, "payment.default", "blue"), Ok(&service("payment")));
    assert_eq!(resolve(&view, "order.blue", "default"), Err(Resolved::Unknown));
}

#[test]
fn case_and_a_final_dot_do_not_matter() {
    let view = view(&[("payment", &[])]);
    assert_eq!(resolve(&view, "Payment.", "default"), Ok(&service("payment")));
    assert_eq!(resolve(&view, "PAYMENT.Default", "default"), Ok(&service("payment")));
}

#[test]
fn what_has_not_the_form_of_a_mesh_name_is_outside() {
    let view = view(&[("payment", &[])]);
    assert_eq!(resolve(&view, "nobody", "default"), Err(Resolved::Unknown));
    for host in ["example.com", "10.0.0.1", "", "under_score", "a.b.c", "[::1]", ".", ".."] {
        assert_eq!(resolve(&view, host, "default"), Err(Resolved::Outside), "{host}");
    }
}

#[test]
fn cells_outlive_a_change_and_are_forgotten_with_their_service() {
    let mut cells = Cells::default();
    let parts = view(&[("payment", &[("payment-1", "127.0.0.1:1000")])]).parts;
    let first = View::new(parts.clone(), &mut cells, setting());
    let second = View::new(parts, &mut cells, setting());
    assert!(Arc::ptr_eq(&first.destinations()[0].cells, &second.destinations()[0].cells));
    let kept = Arc::downgrade(&first.destinations()[0].targets[0].cells);
    drop((first, second));
    cells.forget_unused();
    assert!(kept.upgrade().is_none());
}

#[test]
fn what_routes_ask_for_is_known_after_changes_too() {
    let asking = |name: &str, version: Option<&str>| {
        let pairs = version.map(|it| ("version".to_owned(), it.to_owned()));
        let subset = Subset::new(pairs.into_iter().collect()).unwrap();
        let backends = vec![Backend { service: service("payment"), weight: 1, subset }];
        let rule = Rule { backends, ..Rule::default() };
        Route { name: name.parse().unwrap(), hostnames: Vec::new(), rules: vec![rule] }
    };
    let mut routes = (*view(&[("payment", &[])]).parts.routes.unwrap()).clone();
    let listen = ([127, 0, 0, 1], 1).into();
    routes.gateway = Some(Gateway { listen, proxy_protocol: false, routes: Vec::new(), tls: None });
    let mut parts = Parts::default();
    parts.set_routes(routes.clone());
    let steps: [(&[&str], Vec<Route>); 5] = [
        (&[], vec![asking("a", Some("1")), asking("b", Some("1")), asking("c", None)]),
        (&[], vec![asking("a", Some("2"))]),
        (&["b"], vec![asking("c", Some("3"))]),
        (&["a", "never"], vec![asking("a", Some("3")), asking("c", None)]),
        (&["a"], vec![]),
    ];
    for (removed, set) in steps {
        let removed = removed.iter().map(|name| name.parse().unwrap()).collect();
        let from = routes.revision;
        routes.revision.position.0 += 1;
        assert!(parts.change_routes(RouteChanges { from, settings: routes.clone(), removed, set }));
        assert_eq!(*parts.asked, Asked::by(parts.table.routes()));
        let bytes: Vec<u8> = parts.to_pieces().flatten().collect();
        assert_eq!(Stored::from_bytes(&bytes).unwrap(), parts.to_stored());
    }
    assert_eq!(*parts.asked, Asked::default());
}
