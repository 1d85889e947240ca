//! The cases of W3C's own test suite for trace context (<https://github.com/w3c/trace-context>, `test/test.py`).

use super::*;
use proptest::prelude::*;

const TRACE: &str = "12345678901234567890123456789012";
const SPAN: &str = "1234567890123456";

fn parse(text: &str) -> Option<Parent> {
    Parent::parse(text.as_bytes())
}

fn state(values: &[&str]) -> bool {
    is_state(values.iter().map(|value| value.as_bytes()))
}

#[test]
fn a_well_formed_parent_is_read() {
    let parent = parse(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
    assert_eq!(
        (parent.trace, parent.span),
        (0x1234_5678_9012_3456_7890_1234_5678_9012, 0x1234_5678_9012_3456)
    );
    assert!(parent.is_sampled());
    assert!(!parse(&format!("00-{TRACE}-{SPAN}-00")).unwrap().is_sampled());
}

#[test]
fn a_later_version_is_read_as_far_as_it_is_known() {
    for rest in ["", "-what-the-future-will-be-like", "-"] {
        assert!(parse(&format!("cc-{TRACE}-{SPAN}-01{rest}")).is_some(), "{rest}");
    }
    assert_eq!(parse(&format!("cc-{TRACE}-{SPAN}-01.what-the-future-will-not-be-like")), None);
    assert_eq!(parse(&format!("cc-{TRACE}-{SPAN}-0100")), None);
}

#[test]
fn flags_that_are_unknown_are_not_handed_on() {
    assert_eq!(parse(&format!("00-{TRACE}-{SPAN}-ff")).unwrap().flags, 0b11);
    assert_eq!(parse(&format!("00-{TRACE}-{SPAN}-fc")).unwrap().flags, 0);
}

#[test]
fn a_malformed_parent_is_none() {
    let zero = "0".repeat(32);
    for text in [
        String::new(),
        "00".into(),
        format!("ff-{TRACE}-{SPAN}-01"),
        format!(".0-{TRACE}-{SPAN}-01"),
        format!("0.-{TRACE}-{SPAN}-01"),
        format!("000-{TRACE}-{SPAN}-01"),
        format!("0000-{TRACE}-{SPAN}-01"),
        format!("0-{TRACE}-{SPAN}-01"),
        format!("00-{zero}-{SPAN}-01"),
        format!("00-.{}-{SPAN}-01", &TRACE[1..]),
        format!("00-{}.-{SPAN}-01", &TRACE[1..]),
        format!("00-{TRACE}3-{SPAN}-01"),
        format!("00-{}-{SPAN}-01", &TRACE[1..]),
        format!("00-{TRACE}-0000000000000000-01"),
        format!("00-{TRACE}-.{}-01", &SPAN[1..]),
        format!("00-{TRACE}-{}.-01", &SPAN[1..]),
        format!("00-{TRACE}-{SPAN}7-01"),
        format!("00-{TRACE}-{}-01", &SPAN[1..]),
        format!("00-{TRACE}-{SPAN}-.0"),
        format!("00-{TRACE}-{SPAN}-0."),
        format!("00-{TRACE}-{SPAN}-001"),
        format!("00-{TRACE}-{SPAN}-1"),
        format!("00-{TRACE}-{SPAN}-"),
        format!("00-{TRACE}-{SPAN}"),
        format!("00-{TRACE}-{SPAN}-01-what"),
        format!("00-{TRACE}-{SPAN}-01-"),
        format!("00-{TRACE}-{SPAN}-01, 00-{TRACE}-{SPAN}-01"),
        format!("00-{}-{SPAN}-01", "A".repeat(32)),
        format!("00-{TRACE}-{}-01", "A".repeat(16)),
        format!("0A-{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}-{SPAN}-0A"),
        format!("00_{TRACE}_{SPAN}_01"),
        format!("00-+{}-{SPAN}-01", &TRACE[1..]),
        format!(" 00-{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}-{SPAN}-01\u{a0}"),
    ] {
        assert_eq!(parse(&text), None, "{text:?}");
    }
}

#[test]
fn a_state_that_is_a_list_is_one() {
    let (name, tenant, system) = ("z".repeat(256), "t".repeat(241), "v".repeat(14));
    let all = "foo0123456789_-*/=!\"#$%&'()*+-./0123456789:;<>?@ABC[\\]^_`abc{|}~";
    for values in [
        vec![],
        vec![""],
        vec!["foo=1"],
        vec!["foo=1", ""],
        vec!["", "foo=1"],
        vec!["foo=1,bar=2"],
        vec!["foo=1", "bar=2", "rojo=1,congo=2", "baz=3"],
        vec!["foo=1 \t , \t bar=2, \t baz=3"],
        vec!["foo=1\t \t,\t \tbar=2,\t \tbaz=3"],
        vec!["foo=1,"],
        vec![",foo=1"],
        vec!["foo=1,foo=1"],
        vec!["foo=a b"],
        vec![all],
        vec!["0foo@bar=1"],
        vec![&format!("{name}=1")],
        vec![&format!("{tenant}@{system}=1")],
        vec![&format!("foo={}", "v".repeat(256))],
    ] {
        assert!(state(&values), "{values:?}");
    }
    let most: Vec<_> = (0..32).map(|number| format!("bar{number}={number}")).collect();
    assert!(state(&[&most.join(",")]));
    assert!(state(&most.iter().map(String::as_str).collect::<Vec<_>>()));
}

#[test]
fn a_malformed_state_is_none() {
    let (name, tenant, system) = ("z".repeat(257), "t".repeat(242), "v".repeat(15));
    for values in [
        vec!["foo"],
        vec!["=1"],
        vec!["foo =1"],
        vec!["FOO=1"],
        vec!["foo.bar=1"],
        vec!["0foo=1"],
        vec!["foo@=1,bar=2"],
        vec!["@foo=1,bar=2"],
        vec!["foo@@bar=1,bar=2"],
        vec!["foo@bar@baz=1,bar=2"],
        vec!["foo@0bar=1"],
        vec!["foo=bar=baz"],
        vec!["foo=,bar=3"],
        vec!["foo=\u{e9}"],
        vec!["foo=a\tb"],
        vec!["foo=1", "bar"],
        vec!["foo=1;bar=2"],
        vec![&format!("{name}=1")],
        vec![&format!("{tenant}@v=1")],
        vec![&format!("t@{system}=1")],
        vec![&format!("foo={}", "v".repeat(257))],
    ] {
        assert!(!state(&values), "{values:?}");
    }
    let many: Vec<_> = (0..33).map(|number| format!("bar{number}={number}")).collect();
    assert!(!state(&[&many.join(",")]));
    assert!(!state(&many.iter().map(String::as_str).collect::<Vec<_>>()));
}

proptest! {
    #[test]
    fn what_is_written_is_read(trace in 1..=u128::MAX, span in 1..=u64::MAX, flags in 0..=3_u8) {
        let parent = Parent { trace, span, flags };
        prop_assert_eq!(Parent::parse(&parent.to_bytes()), Some(parent));
    }

    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Some(parent) = Parent::parse(&bytes) {
            prop_assert_eq!(Parent::parse(&parent.to_bytes()), Some(parent));
        }
        is_state([&bytes[..]]);
    }
}
