use super::*;
use tenon_core::availability::Locality;
use tenon_core::manifest::Version;
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
