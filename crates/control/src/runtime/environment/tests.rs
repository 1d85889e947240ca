use super::*;
use crate::testing::{id, managed, service_ref};
use tenon_core::manifest::{SecretRef, StoreKind};

const PORTS: Ports = Ports { application: 20_001, inbound: 20_002, outbound: 20_003 };

fn spawn(service: &Service) -> Option<Spawn> {
    let surroundings = Surroundings::new("127.0.0.1:7420".parse().unwrap());
    spawn_of((&service_ref("order"), service), &id("order-1-0000000a"), PORTS, "s3cret", &surroundings)
}

#[test]
fn a_process_is_given_what_the_platform_promises() {
    let env = spawn(&managed("order", 1)).unwrap().env;
    let proxy = "http://order-1-0000000a:s3cret@127.0.0.1:20003";
    let expected = [
        ("COLOUR", "red"),
        ("HTTP_PROXY", proxy),
        ("NODE_USE_ENV_PROXY", "1"),
        ("NO_PROXY", "localhost,127.0.0.1,::1"),
        ("PORT", "20001"),
        ("TENON_API", "http://127.0.0.1:7420"),
        ("TENON_INSTANCE", "order-1-0000000a"),
        ("TENON_SERVICE", "order"),
        ("TENON_TOKEN", "s3cret"),
        ("TENON_VERSION", "1.0.0"),
        ("http_proxy", proxy),
        ("no_proxy", "localhost,127.0.0.1,::1"),
    ];
    assert_eq!(env, expected.map(|(name, value)| (name.into(), value.into())).into());
}

#[test]
fn tenons_own_variables_win() {
    let mut service = managed("order", 1);
    if let Workload::Process(process) = &mut service.workload {
        process.env.insert("PORT".into(), "80".into());
    }
    assert_eq!(spawn(&service).unwrap().env["PORT"], "20001");
}

#[test]
fn connections_of_data_stores_are_passed_on_as_references() {
    let mut service = managed("order", 1);
    let store = |name: &str, connection: Option<&str>| DataStore {
        name: name.into(),
        kind: StoreKind::PostgreSql,
        connection: connection.map(|it| SecretRef(it.into())),
        entities: Vec::new(),
    };
    service.data = vec![store("orders-db", Some("ORDERS_URL")), store("cache", None)];
    let spawn = spawn(&service).unwrap();
    assert_eq!(spawn.secrets, [("TENON_DATA_ORDERS_DB".to_owned(), "ORDERS_URL".to_owned())].into());
}

#[test]
fn an_api_on_every_interface_is_called_by_loopback() {
    let url = |listen: &str| Surroundings::new(listen.parse().unwrap()).api;
    assert_eq!(url("0.0.0.0:7420"), "http://127.0.0.1:7420");
    assert_eq!(url("[::]:7420"), "http://127.0.0.1:7420");
    assert_eq!(url("[::1]:7420"), "http://[::1]:7420");
}

#[test]
fn what_runs_elsewhere_is_not_started() {
    assert_eq!(spawn(&crate::testing::external("order", &[])), None);
}
