use super::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tenon_core::{Timestamp, registry};

fn revision() -> Revision {
    "00000000-0000-0000-0000-000000000001@42".parse().unwrap()
}

/// An instance that uses every member.
pub(crate) fn instance() -> Instance {
    let labels = registry::Labels {
        version: "2.1.0".parse().unwrap(),
        weight: 3,
        metadata: registry::Metadata::new([("zone".to_owned(), "north".to_owned())].into()).unwrap(),
    };
    let known = registry::Instance {
        registration: registry::Registration {
            id: "payment-1".parse().unwrap(),
            service: "payment.bank".parse().unwrap(),
            address: "127.0.0.1:20001".parse().unwrap(),
            labels,
            origin: registry::Origin::Managed { slot: 1 },
            sidecar: Some(registry::Sidecar {
                inbound: "127.0.0.1:20002".parse().unwrap(),
                outbound: "127.0.0.1:20003".parse().unwrap(),
            }),
        },
        status: tenon_core::health::Status::Healthy,
        draining: false,
        registered_at: Timestamp::from_micros(1_772_366_400_000_250),
        changed_at: Timestamp::from_micros(1_772_366_400_000_500),
        status_since: Timestamp::from_micros(1_772_366_400_000_500),
        was_healthy: true,
    };
    Instance {
        evidence: Some(evidence()),
        pid: Some(4_711),
        last_heartbeat_at: Some(Timestamp::from_micros(1_772_366_400_000_750)),
        token: None,
        ..Instance::of(&known)
    }
}

fn evidence() -> Evidence {
    Evidence { check: "GET /health".into(), answer: "status 200".into(), took: Duration::from_millis(12) }
}

/// One of each kind.
pub(crate) fn changes() -> Vec<InstanceChange> {
    let (revision, id) = (revision(), instance().id);
    vec![
        InstanceChange::State { revision, instances: vec![instance()] },
        InstanceChange::Registered { revision, instance: Box::new(instance()) },
        InstanceChange::Updated { revision, instance: Box::new(instance()) },
        InstanceChange::HealthChanged {
            revision,
            id: id.clone(),
            from: HealthStatus::Unknown,
            to: HealthStatus::Healthy,
            evidence: evidence(),
        },
        InstanceChange::Draining { revision, id: id.clone() },
        InstanceChange::Deregistered { revision, id, reason: DeregisterReason::Ended },
    ]
}

/// A change from nothing to `null`, which are not the same.
pub(crate) fn record() -> ConfigRecord {
    ConfigRecord {
        change: ConfigChange {
            key: "limit".parse().unwrap(),
            old: None,
            new: Some(Value::Null),
            revision: revision(),
        },
        at: Timestamp::from_micros(1_772_366_400_000_250),
        by: "cli:ada".parse().unwrap(),
        origin: ConfigOrigin::Hand,
    }
}

#[track_caller]
fn survives<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
}

#[test]
fn the_form_of_an_instance_is_fixed() {
    let expected = json!({
        "id": "payment-1",
        "service": "payment.bank",
        "address": "127.0.0.1:20001",
        "version": "2.1.0",
        "weight": 3,
        "metadata": {"zone": "north"},
        "status": "healthy",
        "draining": false,
        "evidence": {"check": "GET /health", "answer": "status 200", "took_ms": 12},
        "origin": {"kind": "managed", "slot": 1},
        "sidecar": {"inbound": "127.0.0.1:20002", "outbound": "127.0.0.1:20003"},
        "pid": 4_711,
        "registered_at": "2026-03-01T12:00:00.000250Z",
        "changed_at": "2026-03-01T12:00:00.000500Z",
        "last_heartbeat_at": "2026-03-01T12:00:00.000750Z",
    });
    assert_eq!(serde_json::to_value(instance()).unwrap(), expected);
    survives(&instance());
}

#[test]
fn every_change_names_its_kind_and_survives_the_wire() {
    let kinds: Vec<Value> =
        changes().iter().map(|change| serde_json::to_value(change).unwrap()["kind"].clone()).collect();
    assert_eq!(kinds, ["state", "registered", "updated", "health-changed", "draining", "deregistered"]);
    for change in changes() {
        survives(&change);
        assert_eq!(change.revision(), revision());
    }
}

#[test]
fn no_value_and_null_are_told_apart() {
    survives(&record());
    let json = serde_json::to_value(record()).unwrap();
    assert_eq!(json.get("old"), None);
    assert_eq!(json.get("new"), Some(&Value::Null));
}

#[test]
fn a_registration_needs_only_an_id_and_an_address() {
    let least: RegisterInstance =
        serde_json::from_value(json!({"id": "payment-9", "address": "localhost:9000"})).unwrap();
    let expected = RegisterInstance {
        id: "payment-9".parse().unwrap(),
        address: "localhost:9000".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        weight: 1,
        metadata: BTreeMap::new(),
        ttl: None,
        sidecar: None,
    };
    assert_eq!(least, expected);
    survives(&RegisterInstance { ttl: Some(Duration::from_secs(10)), ..expected });
}

#[test]
fn a_request_with_a_bad_or_unknown_member_is_refused_with_a_reason() {
    let error = |json: Value| serde_json::from_value::<RegisterInstance>(json).unwrap_err().to_string();
    let bad_id = error(json!({"id": "Payment", "address": "localhost:9000"}));
    assert!(bad_id.contains("instance id \"Payment\""), "{bad_id}");
    let bad_address = error(json!({"id": "payment-9", "address": "localhost"}));
    assert!(bad_address.contains("host:port"), "{bad_address}");
    let unknown = error(json!({"id": "payment-9", "address": "localhost:9000", "wieght": 2}));
    assert!(unknown.contains("wieght"), "{unknown}");
}

#[test]
fn a_snapshot_view_shows_everything_but_credentials() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut any = |strategy: proptest::strategy::BoxedStrategy<_>| {
        use proptest::strategy::{Strategy, ValueTree};
        strategy.new_tree(&mut runner).unwrap().current()
    };
    let sidecars: tenon_core::snapshot::Sidecars =
        any(proptest::strategy::Strategy::boxed(crate::testing::sidecars()));
    let stored = crate::snapshot::Stored { sidecars: Some(sidecars.clone()), ..Default::default() };
    let view = SnapshotView::from(&stored);
    assert_eq!(view.sidecars_revision, Some(sidecars.revision));
    assert_eq!(view.sidecars.len(), sidecars.sidecars.len());
    assert!(!serde_json::to_string(&view).unwrap().contains("credential"));
    survives(&view);
}
