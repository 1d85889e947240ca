use super::*;
use proptest::prelude::*;

fn read(text: &str) -> Result<SpiffeId, InvalidName> {
    text.parse()
}

#[test]
fn a_service_has_an_identity_in_its_namespace() {
    let id = read("spiffe://shop/ns/billing/sa/payment").unwrap();
    assert_eq!(id.workload, Workload::Service("payment.billing".parse().unwrap()));
    assert_eq!(id.workload.dns_name(), "payment.billing");
    assert_eq!(id.to_string(), "spiffe://shop/ns/billing/sa/payment");
}

#[test]
fn the_gateway_has_one_too() {
    let id = read("spiffe://shop.example/gateway").unwrap();
    assert_eq!((id.workload.service(), id.trust_domain.as_str()), (None, "shop.example"));
    assert_eq!(id.to_string(), "spiffe://shop.example/gateway");
}

#[test]
fn other_forms_are_refused() {
    for text in [
        "",
        "spiffe://",
        "spiffe://shop",
        "spiffe://shop/",
        "spiffe:///gateway",
        "SPIFFE://shop/gateway",
        "https://shop/gateway",
        "spiffe://Shop/gateway",
        "spiffe://shop:443/gateway",
        "spiffe://ada@shop/gateway",
        "spiffe://shop/gateway/",
        "spiffe://shop/gateway?x",
        "spiffe://shop/gateway#x",
        "spiffe://shop/ns/default/sa/",
        "spiffe://shop/ns/default/sa/..",
        "spiffe://shop/ns//sa/payment",
        "spiffe://shop/ns/default/sa/payment/",
        "spiffe://shop/ns/default/sa/payment/x",
        "spiffe://shop/ns/default/sa/p%61yment",
        "spiffe://shop/sa/payment/ns/default",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(
        domain in "[a-z0-9._-]{1,20}",
        service in "[a-z]([a-z0-9-]{0,8}[a-z0-9])?",
        namespace in "[a-z]([a-z0-9-]{0,8}[a-z0-9])?",
        gateway: bool,
    ) {
        let service = ServiceRef {
            name: ServiceName::new(&service).unwrap(),
            namespace: Namespace::new(&namespace).unwrap(),
        };
        let workload = if gateway { Workload::Gateway } else { Workload::Service(service) };
        let id = SpiffeId { trust_domain: TrustDomain::new(&domain).unwrap(), workload };
        prop_assert_eq!(read(&id.to_string()), Ok(id));
    }

    #[test]
    fn what_is_read_is_written_the_same(text in "spiffe://[a-z.]{0,3}(/(ns|sa|gateway|[a-z.%]{0,3})){0,5}") {
        if let Ok(id) = read(&text) {
            prop_assert_eq!(id.to_string(), text);
        }
    }
}
