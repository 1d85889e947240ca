use super::*;
use serde_json::json;
use tenon_api::system::SagaDoc;
use tenon_core::saga::{Beginning, SagaName, Version, start};
use tenon_core::{Namespace, Timestamp};

fn made(expression: &str, input: &Value) -> Result<Value, String> {
    let step = json!({
        "name": "order", "input": expression,
        "work": {"call": {"action": {"service": "a", "method": "POST", "path": "/"}, "timeout_ms": 1}}
    });
    let document: SagaDoc = serde_json::from_value(json!({"steps": [step]})).unwrap();
    let definition = document.to_definition(Namespace::default(), SagaName::new("order").unwrap()).unwrap();
    let expressions = Expressions::of(&definition).map_err(|refusal| refusal.detail)?;
    let saga = Saga::new(definition).unwrap();
    let input = Data::new(&input.to_string());
    let beginning = Beginning { version: Version::default(), input, seed: 0, queued: false };
    let (instance, _) = start(&saga, beginning, Timestamp::ZERO);
    let scope = Scope {
        id: SagaId::from_bytes([0; 16]),
        key: Some("k"),
        saga: &saga,
        instance: &instance,
        problem: None,
    };
    expressions.input(&scope, StepIx(0), Direction::Do).map(Option::unwrap_or_default)
}

#[test]
fn an_expression_makes_json_of_json() {
    let input = json!({"items": [{"price": 2, "of": "saw"}, {"price": 3, "of": "auger"}], "rate": 1.5});
    assert_eq!(made("input.items[0].price * 2", &input), Ok(json!(4)));
    assert_eq!(made("input.items.map(it, it.of)", &input), Ok(json!(["saw", "auger"])));
    assert_eq!(made("{'key': saga.key, 'rate': input.rate}", &input), Ok(json!({"key": "k", "rate": 1.5})));
    assert_eq!(made("steps.order == null", &input), Ok(json!(true)));
}

#[test]
fn an_expression_that_fails_says_why() {
    assert!(made("input.total", &json!({})).unwrap_err().contains("`input.total` fails"));
    assert!(made("nobody.total", &json!({})).unwrap_err().contains("fails"));
    assert!(made("input +", &json!({})).unwrap_err().contains("cannot be read"));
    let loops = "input.map(a, input.map(b, input.map(c, c)))";
    assert!(made(loops, &json!([])).unwrap_err().contains("goes through lists 3 times"));
    let large = "x".repeat(MAX_DATA / 2);
    assert!(made("input + input + input", &json!(large)).unwrap_err().contains("bytes"));
}
