use super::*;

fn fields(written: &[&str]) -> Fields {
    Fields::new(written.iter().copied()).unwrap()
}

#[test]
fn what_is_missing_and_what_is_not_known_is_named_and_what_may_be_absent_is_not() {
    let stated = fields(&["order", "note?"]);
    assert_eq!(stated.misfit(&["order"]), None);
    assert_eq!(stated.misfit(&["note", "order"]), None);
    assert_eq!(stated.misfit(&["note"]), Some(Misfit::Missing("order")));
    assert_eq!(stated.misfit(&["order", "a/b~"]), Some(Misfit::Unknown("a/b~")));
    assert_eq!(Misfit::Unknown("a/b~").to_string(), "/a~1b~0 is not known");
    assert_eq!(Misfit::Missing("order").to_string(), "/order is missing");
    assert_eq!(fields(&[]).misfit(&["x"]), Some(Misfit::Unknown("x")));
}

#[test]
fn fields_are_written_as_they_were_and_twice_is_once() {
    let stated = fields(&["b?", "a", "a?", "b?"]);
    assert_eq!(stated.written().collect::<Vec<_>>(), ["a", "b?"]);
    assert_eq!(stated.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(fields(&["b?", "a"]), stated);
}

#[test]
fn what_is_no_name_is_refused_and_so_are_too_many() {
    let long = "a".repeat(129);
    for text in ["", "?", "1a", "a-b", "a b", "a??", "ä", long.as_str()] {
        assert!(Fields::new([text]).is_err(), "{text}");
    }
    let many: Vec<String> = (0..1_001).map(|number| format!("f{number}")).collect();
    assert!(Fields::new(many.iter().map(String::as_str)).is_err());
    assert!(Fields::new(many.iter().skip(1).map(String::as_str)).is_ok());
}
