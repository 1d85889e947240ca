use super::*;
use crate::testing::json_value;
use proptest::prelude::*;
use serde_json::json;

proptest! {
    #[test]
    fn canonical_text_reads_back_as_the_same_value(value in json_value()) {
        let canonical = to_core(&value).unwrap();
        let back = from_core(&canonical);
        prop_assert_eq!(&back, &value);
        prop_assert_eq!(to_core(&back).unwrap(), canonical);
    }
}

#[test]
fn order_and_spaces_make_no_difference() {
    let one: serde_json::Value =
        serde_json::from_str(r#"{ "b": [1, 2.50], "a": {"y": null, "x": "é\n"} }"#).unwrap();
    assert_eq!(to_core(&one).unwrap().as_json(), r#"{"a":{"x":"é\n","y":null},"b":[1,2.5]}"#);
}

#[test]
fn a_value_that_is_too_large_is_refused() {
    let largest = json!("x".repeat(Value::MAX_BYTES - 2));
    assert!(to_core(&largest).is_ok());
    let larger = json!("x".repeat(Value::MAX_BYTES - 1));
    assert_eq!(to_core(&larger), Err(TooLarge { bytes: Value::MAX_BYTES + 1 }));
}
