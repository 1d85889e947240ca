use super::*;
use serde_json::json;

fn schema(json: &Json) -> Value {
    Value::from_canonical(&json.to_string())
}

fn check(with: &Json, value: &Json) -> Result<(), Refusal> {
    Schemas::default().check("limit", &schema(with), value)
}

#[test]
fn a_value_that_fits_is_accepted() {
    let positive = json!({"type": "integer", "minimum": 1});
    assert_eq!(check(&positive, &json!(3)), Ok(()));
}

#[test]
fn a_value_that_does_not_fit_is_refused_with_its_places_and_without_its_content() {
    let form =
        json!({"type": "object", "properties": {"limit": {"type": "integer"}}, "required": ["currency"]});
    let refusal = check(&form, &json!({"limit": "hunter2"})).unwrap_err();
    assert_eq!(refusal.code, Code::ConfigInvalidValue);
    assert!(refusal.detail.contains("at /limit") && refusal.detail.contains("currency"), "{refusal}");
    assert!(!refusal.detail.contains("hunter2"), "{refusal}");
}

#[test]
fn a_schema_that_refers_elsewhere_is_refused() {
    for reference in ["http://127.0.0.1:9/schema.json", "file:///etc/hostname"] {
        let refusal = check(&json!({"$ref": reference}), &json!(1)).unwrap_err();
        assert!(refusal.detail.contains("cannot be used"), "{refusal}");
    }
}

#[test]
fn a_schema_that_is_none_is_refused() {
    let refusal = check(&json!({"type": "integral"}), &json!(1)).unwrap_err();
    assert!(refusal.detail.contains("cannot be used"), "{refusal}");
}

#[test]
fn a_pattern_that_would_need_backtracking_is_refused_instead_of_run() {
    assert!(check(&json!({"pattern": "^(a+)+\\1$"}), &json!("aaaa")).is_err());
}

#[test]
fn no_more_than_the_bound_is_kept() {
    let schemas = Schemas::default();
    for minimum in 0..MOST_COMPILED * 2 + 1 {
        schemas.check("k", &schema(&json!({"minimum": minimum})), &json!(10_000)).unwrap();
        assert!(schemas.compiled.lock().unwrap().len() <= MOST_COMPILED);
    }
}
