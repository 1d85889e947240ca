use super::*;
use crate::testing;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::json;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_system_survives_json(system in testing::system()) {
        let text = serde_json::to_string(&SystemDoc::from(&system)).unwrap();
        let doc: SystemDoc = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(System::try_from(&doc).unwrap(), system);
        prop_assert_eq!(serde_json::to_string(&doc).unwrap(), text);
    }
}

/// A document that is valid; tests break it in one place each.
fn document() -> serde_json::Value {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    loop {
        let system = testing::system().new_tree(&mut runner).unwrap().current();
        if let Some(first) = system.services.values().next().cloned() {
            let service = tenon_core::manifest::Service { name: "payment".parse().unwrap(), ..first };
            let services = BTreeMap::from([(service.name.clone(), service)]);
            return serde_json::to_value(SystemDoc::from(&System { services, ..system })).unwrap();
        }
    }
}

fn error_of(change: impl Fn(&mut serde_json::Value)) -> String {
    let mut json = document();
    change(&mut json);
    let doc: SystemDoc = serde_json::from_value(json).unwrap();
    System::try_from(&doc).unwrap_err().to_string()
}

#[test]
fn an_error_names_the_place() {
    let service = "/services/payment";
    let cases: &[(&str, serde_json::Value, &str)] = &[
        ("/name", json!("Not A Name"), "name: "),
        ("/interfaces", json!([]), "services.payment.interfaces: must not be empty"),
        ("/interfaces/0/endpoints/0/path", json!("x"), "services.payment.interfaces[0].endpoints[0].path: "),
        ("/workload", json!({"external": []}), "services.payment.workload.external: must not be empty"),
        ("/workload", json!({"external": ["x"]}), "services.payment.workload.external[0]: "),
        ("/resources/cpu_millis", json!(0), "services.payment.resources.cpu_millis: is 0; expected 1 to "),
        ("/version", json!(""), "services.payment.version: "),
    ];
    for (pointer, bad, expected) in cases {
        let pointer = if *pointer == "/name" { (*pointer).to_owned() } else { format!("{service}{pointer}") };
        let error = error_of(|json| *json.pointer_mut(&pointer).unwrap() = bad.clone());
        assert!(error.starts_with(expected), "{error}");
    }
    let error = error_of(|json| json["services"]["Bad Name"] = json["services"]["payment"].clone());
    assert!(error.starts_with("services.Bad Name: "), "{error}");
    let error =
        error_of(|json| json["config"] = json!({"payment": {"no spaces": {"value": 1, "schema": null}}}));
    assert!(error.starts_with("config.payment.no spaces: "), "{error}");
}

#[test]
fn every_default_is_written_out() {
    let doc = serde_json::to_value(TrafficDoc::from(&tenon_core::manifest::Traffic::default())).unwrap();
    assert_eq!(
        doc,
        json!({
            "balance": "round-robin",
            "timeout_ms": 30_000,
            "retry": {
                "max_retries": 3,
                "delay": {"exponential": {"base_ms": 25, "factor": 2}},
                "jitter": "full",
                "max_delay_ms": 1_000,
                "per_try_timeout_ms": null,
                "retry_on": {
                    "connect_failure": true,
                    "reset": true,
                    "per_try_timeout": true,
                    "statuses": [502, 503, 504],
                    "grpc_statuses": [14],
                },
                "non_idempotent": false,
            },
            "retry_budget": {"percent": 20, "per_second": 10, "burst": 500},
            "breaker": {
                "failure_threshold": 5,
                "open_timeout_ms": 60_000,
                "permitted_half_open_calls": 3,
                "half_open_max_wait_ms": 60_000,
            },
            "max_in_flight": 10_000,
        })
    );
}
