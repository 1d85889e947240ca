use super::*;
use http::HeaderValue;
use tenon_core::{LogId, Position};

struct Fixed(u64, Vec<(InstanceId, ServiceRef)>);

impl Registered for Fixed {
    fn revision(&self) -> Revision {
        Revision { log: LogId::from_bytes([0; 16]), position: Position(self.0) }
    }

    fn instances(&self) -> Vec<(InstanceId, ServiceRef)> {
        self.1.clone()
    }
}

fn access() -> (Access, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::open(folder.path()).unwrap();
    (Access::new(keys, "127.0.0.1:7420".parse().unwrap(), BTreeSet::from(["tenon.internal".into()])), folder)
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())).collect()
}

fn id(text: &str) -> InstanceId {
    InstanceId::new(text).unwrap()
}

fn service(text: &str) -> ServiceRef {
    text.parse().unwrap()
}

fn one_instance() -> Fixed {
    Fixed(1, vec![(id("payment-1"), service("payment"))])
}

#[test]
fn names_that_mean_loopback_are_answered_to() {
    let (access, _folder) = access();
    for host in
        ["127.0.0.1:7420", "localhost:7420", "localhost", "[::1]:7420", "127.0.0.1", "tenon.internal:80"]
    {
        assert_eq!(
            access.check_origin(&Uri::from_static("/v1/status"), &headers(&[("host", host)])),
            Ok(()),
            "{host}"
        );
    }
}

#[test]
fn a_name_that_was_rebound_to_loopback_is_refused() {
    let (access, _folder) = access();
    for host in [
        "evil.example:7420",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.1:7420",
        "x@localhost",
        ":7420",
    ] {
        let refused = access.check_origin(&Uri::from_static("/"), &headers(&[("host", host)])).unwrap_err();
        assert_eq!(refused.code, Code::AccessOrigin, "{host}");
    }
    assert!(access.check_origin(&Uri::from_static("/"), &HeaderMap::new()).is_err(), "no host at all");
}

#[test]
fn the_authority_of_http_2_counts_as_the_host() {
    let (access, _folder) = access();
    let with_loopback_header = headers(&[("host", "localhost")]);
    assert!(access.check_origin(&Uri::from_static("http://evil.example/"), &with_loopback_header).is_err());
    assert!(access.check_origin(&Uri::from_static("http://127.0.0.1:7420/"), &HeaderMap::new()).is_ok());
}

#[test]
fn only_pages_of_this_very_server_may_call() {
    let (access, _folder) = access();
    let from = |origin| {
        access.check_origin(&Uri::from_static("/"), &headers(&[("host", "localhost"), ("origin", origin)]))
    };
    assert_eq!(from("http://localhost:7420"), Ok(()));
    assert_eq!(from("http://127.0.0.1:7420"), Ok(()));
    for foreign in [
        "http://localhost:3000",
        "http://localhost",
        "https://evil.example",
        "http://evil.example:7420",
        "null",
    ] {
        assert_eq!(from(foreign).unwrap_err().code, Code::AccessOrigin, "{foreign}");
    }
}

#[test]
fn the_token_makes_an_administrator_who_may_say_who_acts() {
    let (access, _folder) = access();
    let token = format!("Bearer {}", access.keys.api_token());
    let unnamed = access.authenticate(&headers(&[("authorization", &token)]), &one_instance()).unwrap();
    assert_eq!(unnamed.actor().as_str(), "api");
    let named = headers(&[("authorization", &token), ("tenon-actor", "cli:ada")]);
    assert_eq!(access.authenticate(&named, &one_instance()).unwrap().actor().as_str(), "cli:ada");
    let bad = headers(&[("authorization", &token), ("tenon-actor", "two words")]);
    assert_eq!(access.authenticate(&bad, &one_instance()).unwrap_err().code, Code::RequestInvalid);
}

#[test]
fn no_token_and_a_wrong_one_are_refused() {
    let (access, _folder) = access();
    for header in ["Bearer wrong", "Basic YTpi", "Bearer", ""] {
        let refused =
            access.authenticate(&headers(&[("authorization", header)]), &one_instance()).unwrap_err();
        assert_eq!(refused.code, Code::AccessUnauthenticated, "{header:?}");
    }
    assert!(access.authenticate(&HeaderMap::new(), &one_instance()).is_err());
}

#[test]
fn an_instance_is_known_by_its_secret_as_long_as_it_is_registered() {
    let (access, _folder) = access();
    let token = format!("Bearer {}", access.keys.instance_secret(&id("payment-1")));
    let with_token = headers(&[("authorization", &token)]);
    let caller = access.authenticate(&with_token, &one_instance()).unwrap();
    assert_eq!(caller, Caller::Instance { id: id("payment-1"), service: service("payment") });
    assert_eq!(caller.actor().as_str(), "instance:payment-1");
    assert!(access.authenticate(&with_token, &Fixed(2, vec![])).is_err(), "deregistered");
}

#[test]
fn an_instance_may_do_only_what_its_service_needs() {
    let caller = Caller::Instance { id: id("payment-1"), service: service("payment") };
    let may = |operation: &str, of: &str, instance: &str| {
        let endpoint = api::API.iter().find(|it| it.operation == operation).unwrap();
        let named = |name: &str| endpoint.path.contains(&format!("{{{name}}}"));
        let parameter = |name: &str| match name {
            "service" => named(name).then(|| of.to_owned()),
            "id" => named(name).then(|| instance.to_owned()),
            _ => None,
        };
        check_permitted(&caller, endpoint, parameter).is_ok()
    };
    assert!(may("lookup", "order", ""));
    assert!(may("getServiceConfig", "payment", ""));
    assert!(may("getConfig", "payment.default", ""));
    assert!(may("heartbeat", "payment", "payment-1"));
    assert!(may("health", "", ""));
    assert!(!may("getServiceConfig", "order", ""), "another's configuration");
    assert!(!may("getConfig", "payment.other", ""), "another namespace's");
    assert!(!may("getConfig", "Not A Name", ""));
    assert!(!may("setConfig", "payment", ""), "writing");
    assert!(!may("heartbeat", "payment", "payment-2"), "another's heartbeat");
    assert!(!may("heartbeat", "order", "payment-1"), "as another service's");
    for endpoint in api::API.iter().filter(|it| it.access == api::Access::Operator) {
        assert!(!may(endpoint.operation, "payment", "payment-1"), "{}", endpoint.operation);
    }
}
