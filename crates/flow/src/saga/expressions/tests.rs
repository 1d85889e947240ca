use super::*;
use proptest::prelude::*;
use serde_json::json;
use tenon_api::system::SagaDoc;
use tenon_core::saga::{Beginning, SagaName, Version, start};
use tenon_core::{Namespace, Timestamp};

fn made(expression: &str, input: &Value) -> Result<Value, String> {
    with(expression, input, |expressions, scope| {
        expressions.input(scope, StepIx(0), Direction::Do).map(Option::unwrap_or_default)
    })
}

fn with<T>(
    expression: &str,
    input: &Value,
    then: impl FnOnce(&Expressions, &Scope<'_>) -> Result<T, String>,
) -> Result<T, String> {
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
    then(&expressions, &scope)
}

/// Any JSON, with few names, so that fields are often there.
fn any_json() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-9..9_i8).prop_map(|small| Value::from(f64::from(small))),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        "[a-c]{0,2}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[ab]", inner, 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn looking_a_field_up_is_evaluating_it(input in any_json(), path in "input(\\.[ab]){0,3}") {
        let both = with(&path, &input, |expressions, scope| {
            let of = &scope.saga.definition().steps[0].input;
            Ok((expressions.looked_up(scope, of, None), expressions.evaluated(scope, of, None, false)))
        });
        match both.unwrap() {
            (Some(found), evaluated) => prop_assert_eq!(Ok(found), evaluated),
            (None, evaluated) => prop_assert!(evaluated.is_err()),
        }
    }
}

#[test]
fn only_what_is_a_name_after_the_other_is_looked_up() {
    let is_field =
        |text: &str| with(text, &json!({}), |all, _| Ok(all.0.values().all(|read| read.field.is_some())));
    for (text, expected) in [
        (" input.a.b ", true),
        ("steps.order", true),
        ("output.x", true),
        ("input.a[0]", false),
        ("input.a + 1", false),
        ("saga.key", false),
        ("steps.nobody.x", false),
        ("input.a . b", false),
    ] {
        assert_eq!(is_field(text), Ok(expected), "{text}");
    }
    assert_eq!(size(&json!({"a": [1, "\u{e9}\n"]})), json!({"a": [1, "\u{e9}\n"]}).to_string().len());
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

#[test]
fn what_is_made_can_be_read_again() {
    let nested = |levels: usize| (0..levels).fold(json!(1), |value, _| json!([value]));
    let deepest = nested(MOST_LEVELS);
    assert_eq!(made("input", &deepest), Ok(deepest.clone()));
    assert_eq!(serde_json::from_str::<Value>(&deepest.to_string()).ok(), Some(deepest.clone()));
    assert!(serde_json::from_str::<Value>(&nested(MOST_LEVELS + 1).to_string()).is_err());
    assert!(made("[input]", &deepest).unwrap_err().contains("127 levels are the most"));
}
