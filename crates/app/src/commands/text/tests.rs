use super::json_or_word;
use serde_json::json;

#[test]
fn what_begins_as_json_has_to_be_json() {
    for broken in ["{bad json", " [1, 2", "\"open", "{\"a\": 1}}"] {
        let said = json_or_word("INPUT", broken).unwrap_err().to_string();
        assert!(
            said.starts_with("INPUT begins as JSON") && said.contains("line 1 column"),
            "{broken}: {said}"
        );
    }
    for (typed, meant) in [("7", json!(7)), ("{}", json!({})), ("yes", json!("yes")), ("1x", json!("1x"))] {
        assert_eq!(json_or_word("INPUT", typed).unwrap(), meant);
    }
}
