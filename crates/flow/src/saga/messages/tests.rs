use super::*;
use serde_json::json;
use tenon_api::system::SagaDoc;
use tenon_core::Namespace;
use tenon_core::saga::{Protos, SagaName};

const PROTO: &str = r#"
syntax = "proto3";
package test.v1;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/empty.proto";

service All {
  rpc Take(Everything) returns (Everything);
  rpc Nothing(google.protobuf.Empty) returns (google.protobuf.Empty);
}

enum Color { COLOR_UNSPECIFIED = 0; COLOR_RED = 1; }

message Everything {
  string order_id = 1;
  int64 amount = 2;
  uint64 large = 3;
  bytes raw = 4;
  Color color = 5;
  Inner inner = 6;
  repeated Inner many = 7;
  map<int32, Inner> by_number = 8;
  oneof way { string card = 9; Inner account = 10; }
  optional string note = 11;
  google.protobuf.Timestamp at = 12;
  google.protobuf.Duration wait = 13;
  google.protobuf.Struct free = 14;
  google.protobuf.Int64Value boxed = 15;
  double rate = 16;
  bool good = 17;
  Everything deeper = 18;
  google.protobuf.Value any_json = 19;
  repeated Color colors = 20;
}

message Inner { int32 count = 1; }
"#;

/// What `file` describes.
pub(in crate::saga) fn compiled(proto: &str) -> Protos {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("test.proto"), proto).unwrap();
    let set = protox::compile(["test.proto"], [folder.path()]).unwrap();
    Protos::new(&set.encode_to_vec())
}

fn method(name: &str) -> Method {
    method_of(PROTO, name)
}

/// A method that a definition calls.
pub(in crate::saga) fn method_of(proto: &str, name: &str) -> Method {
    let action = json!({"service": "a", "grpc": name});
    let step = json!({"name": "a", "work": {"call": {"action": action, "timeout_ms": 1}}});
    let document: SagaDoc = serde_json::from_value(json!({"steps": [step]})).unwrap();
    let mut definition =
        document.to_definition(Namespace::default(), SagaName::new("order").unwrap()).unwrap();
    definition.protos.insert("a".parse().unwrap(), compiled(proto));
    tenon_api::saga::protos::cut(&mut definition).unwrap();
    let methods = Methods::of(&definition).unwrap();
    let action = definition.steps[0].actions().next().unwrap().clone();
    Method::clone(&methods.called(&action).unwrap())
}

fn there_and_back(input: &Value) -> Value {
    let method = method("test.v1.All/Take");
    let message = method.message(Some(input)).unwrap();
    serde_json::from_str(method.json(&message).unwrap().as_str()).unwrap()
}

#[test]
fn what_is_sent_comes_back_as_expressions_see_it() {
    let told = there_and_back(&json!({
        "orderId": "o1",
        "amount": 9_007_199_254_740_993_i64,
        "large": u64::MAX.to_string(),
        "raw": "AAH/",
        "color": "COLOR_RED",
        "inner": {"count": 3},
        "many": [{"count": 1}, {}],
        "by_number": {"10": {"count": 2}, "9": {}},
        "card": "c1",
        "at": "2026-01-02T03:04:05Z",
        "wait": "1.5s",
        "free": {"a": [1, null, "x"]},
        "boxed": 7,
        "rate": 1,
        "good": true,
        "any_json": null,
        "colors": ["COLOR_RED", 0, 7],
    }));
    let expected = json!({
        "order_id": "o1",
        "amount": 9_007_199_254_740_993_i64,
        "large": u64::MAX,
        "raw": "AAH/",
        "color": "COLOR_RED",
        "inner": {"count": 3},
        "many": [{"count": 1}, {"count": 0}],
        "by_number": {"10": {"count": 2}, "9": {"count": 0}},
        "card": "c1",
        "account": null,
        "note": null,
        "at": "2026-01-02T03:04:05Z",
        "wait": "1.500s",
        "free": {"a": [1.0, null, "x"]},
        "boxed": 7,
        "rate": 1.0,
        "good": true,
        "deeper": null,
        "any_json": null,
        "colors": ["COLOR_RED", "COLOR_UNSPECIFIED", 7],
    });
    assert_eq!(told, expected);
}

#[test]
fn every_field_is_answered() {
    let told = there_and_back(&json!({"deeper": {}}));
    let fields = told.as_object().unwrap();
    assert_eq!(fields.len(), 20);
    assert_eq!((&told["amount"], &told["order_id"], &told["many"]), (&json!(0), &json!(""), &json!([])));
    assert_eq!((&told["color"], &told["by_number"]), (&json!("COLOR_UNSPECIFIED"), &json!({})));
    assert_eq!((&told["card"], &told["inner"], &told["boxed"]), (&json!(null), &json!(null), &json!(null)));
    assert_eq!(told["deeper"].as_object().unwrap().len(), 20);
    let nothing = method("test.v1.All/Nothing");
    assert_eq!(nothing.message(None).unwrap(), b"");
    assert_eq!(nothing.json(b"").unwrap().as_str(), "{}");
}

#[test]
fn an_input_that_is_none_is_refused_and_says_which_field() {
    let method = method("test.v1.All/Take");
    let why = |input: Value| method.message(Some(&input)).unwrap_err();
    for (input, named) in [
        (json!({"orderid": "x"}), "orderid"),
        (json!({"order_id": 7}), "order_id"),
        (json!({"amount": 1.5, "good": true}), "amount"),
        (json!({"good": true, "color": "COLOR_BLUE"}), "color"),
        (json!({"inner": {"counts": 1}}), "counts"),
        (json!({"raw": "%"}), "raw"),
        (json!([1]), "list"),
    ] {
        let why = why(input);
        assert!(why.starts_with("its input is no test.v1.Everything: "), "{why}");
        assert!(why.contains(named) || named == "list", "{why}");
    }
}

#[test]
fn an_answer_that_is_none_or_too_much_is_refused() {
    let method = method("test.v1.All/Take");
    assert!(method.json(b"\xff").unwrap_err().starts_with("it answered what is no test.v1.Everything"));
    // Small as a message, and large as JSON, as every field is told.
    let many: Vec<Value> = (0..40_000).map(|_| json!({})).collect();
    let message = method.message(Some(&json!({"many": many}))).unwrap();
    assert!(message.len() < MAX_DATA);
    assert!(method.json(&message).unwrap_err().contains("more than 262144 bytes"));
}

#[test]
fn a_definition_that_gives_a_method_what_it_does_not_take_is_refused() {
    let call = json!({"service": "a", "grpc": "test.v1.All/Take"});
    let define = |input: Value, undo: Value| {
        let step = json!({
            "name": "a", "input": input, "work": {"call": {"action": call, "timeout_ms": 1}},
            "undo": {"action": call, "timeout_ms": 1, "input": undo}
        });
        let document: SagaDoc = serde_json::from_value(json!({"steps": [step]})).unwrap();
        let name = SagaName::new("order").unwrap();
        let mut definition = document.to_definition(Namespace::default(), name).unwrap();
        definition.protos.insert("a".parse().unwrap(), compiled(PROTO));
        Methods::of(&definition).map(drop).map_err(|refusal| refusal.detail)
    };
    let good = json!({"orderId": "input.id", "cents": "1"});
    assert!(
        define(good.clone(), json!("input")).unwrap_err().contains("`cents`, which `test.v1.Everything`")
    );
    assert_eq!(define(json!({"orderId": "input.id"}), json!({"order_id": "1"})), Ok(()));
    assert!(define(json!("input"), good).unwrap_err().starts_with("step `a` calls `test.v1.All/Take`"));
}
