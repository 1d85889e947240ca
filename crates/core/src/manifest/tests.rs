use super::*;

#[test]
fn a_path_pattern_matches_by_segments() {
    let matches = |pattern: &str, path: &str| PathPattern::new(pattern).unwrap().matches(path);
    assert!(matches("/orders", "/orders"));
    assert!(!matches("/orders", "/orders/1"));
    assert!(matches("/orders/{id}", "/orders/1"));
    assert!(!matches("/orders/{id}", "/orders/"));
    assert!(!matches("/orders/{id}", "/orders/1/items"));
    assert!(matches("/files/{path...}", "/files/a/b"));
    assert!(!matches("/files/{path...}", "/files"));
    assert!(matches("/", "/"));
}

#[test]
fn a_malformed_path_pattern_is_refused() {
    for bad in ["", "orders", "/a b", "/a?x", "/{id", "/x{id}", "/{rest...}/more"] {
        assert!(PathPattern::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_configuration_key_has_a_plain_form() {
    assert!(ConfigKey::new("limits.max-items_2").is_ok());
    for bad in ["", "a b", "a/b", &"a".repeat(129)] {
        assert!(ConfigKey::new(bad).is_err(), "{bad}");
    }
}
