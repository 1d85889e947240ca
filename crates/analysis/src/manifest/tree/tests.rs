use super::*;
use crate::manifest::source::Source;
use crate::manifest::tests::codes;
use serde_json::json;

fn tree(text: &str) -> Node {
    let source = Source::new(text);
    let mut problems = Problems::new(&source);
    let node = load(&source, &mut problems).unwrap();
    assert!(!problems.has_errors());
    node
}

fn value(text: &str) -> serde_json::Value {
    to_json(&tree(text)).unwrap()
}

use crate::manifest::problems::Problems;

#[test]
fn scalars_mean_what_the_core_schema_of_yaml_1_2_says() {
    assert_eq!(
        value("[~, null, '', no, yes, on, True, false]"),
        json!([null, null, "", "no", "yes", "on", true, false])
    );
    assert_eq!(value("[0, -7, +3, 0x1F, 0o17, 012]"), json!([0, -7, 3, 31, 15, 12]));
    assert_eq!(value("[0.5, .5, 1., 1e3, -2.5E-1]"), json!([0.5, 0.5, 1.0, 1000.0, -0.25]));
    assert_eq!(
        value("[1.0.0, 1e, 0x, 0xg, '1', \"true\", 30s, '.']"),
        json!(["1.0.0", "1e", "0x", "0xg", "1", "true", "30s", "."])
    );
}

#[test]
fn numbers_beyond_64_bits_are_what_a_json_parser_makes_of_them() {
    let digits = "18446744073709551616";
    assert_eq!(value(digits), serde_json::from_str::<serde_json::Value>(digits).unwrap());
    assert_eq!(value("18446744073709551615"), json!(u64::MAX));
    assert_eq!(value("-9223372036854775808"), json!(i64::MIN));
    assert_eq!(to_json(&tree("[.nan]")), None);
    assert_eq!(to_json(&tree("[-.inf]")), None);
}

#[test]
fn canonical_text_has_no_spaces_and_ordered_keys() {
    assert_eq!(
        canonical(&value("{b: [1, {d: x, c: null}], a: \"\\\"\"}")),
        r#"{"a":"\"","b":[1,{"c":null,"d":"x"}]}"#
    );
}

#[test]
fn every_node_knows_its_place() {
    let text = "ä: 1\nlist:\n  - one  # first\n  - {two: 2}\nempty:\n";
    let source = Source::new(text);
    let root = tree(text);
    let place = |node: &Node| source.place(node.span);
    assert_eq!(place(&root).text, "ä: 1");
    let list = root.get("list").unwrap();
    let [one, two] = list.items() else { panic!("{list:?}") };
    assert_eq!((place(one).text.as_str(), place(one).line, place(one).column), ("one", 3, 5));
    assert_eq!(place(two).text, "{two: 2}");
    let empty = root.entry("empty").unwrap();
    assert_eq!(place(&empty.value).text, "empty");
}

#[test]
fn places_are_right_with_line_ends_of_windows() {
    let text = "a: 1\r\nb: 2\r\n";
    let root = tree(text);
    let place = Source::new(text).place(root.get("b").unwrap().span);
    assert_eq!((place.line, place.column, place.text.as_str()), (2, 4, "2"));
}

#[test]
fn an_alias_repeats_what_its_anchor_names() {
    assert_eq!(value("a: &x [1, 2]\nb: *x\n"), json!({"a": [1, 2], "b": [1, 2]}));
    assert_eq!(value("&k a: 1\nb: *k\n"), json!({"a": 1, "b": "a"}));
}

#[test]
fn an_alias_within_what_it_repeats_is_refused() {
    assert_eq!(codes("a: &x [*x]\n"), ["manifest.syntax"]);
}

#[test]
fn deep_nesting_is_refused_also_by_aliases() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert_ne!(codes(&nested(64)), ["manifest.too-large"]);
    assert_eq!(codes(&nested(65)), ["manifest.too-large"]);
    let twice = format!("a: &x {}\nb: {}*x{}\n", nested(40), "[".repeat(40), "]".repeat(40));
    assert_eq!(codes(&twice), ["manifest.too-large"]);
}

#[test]
fn a_large_file_and_many_values_are_refused() {
    assert_eq!(codes(&" ".repeat(MOST_BYTES + 1)), ["manifest.too-large"]);
    assert_eq!(codes(&format!("a: [{}]", "x,".repeat(MOST_NODES))), ["manifest.too-large"]);
    // What is kept for aliases counts, so that anchors within anchors cannot multiply it.
    let anchors: String = (0..60).map(|number| format!("&a{number} [")).collect();
    assert_eq!(codes(&format!("{anchors}{}{}", "x,".repeat(10_000), "]".repeat(60))), ["manifest.too-large"]);
}

#[test]
fn a_manifest_is_one_document_without_tags() {
    assert_eq!(codes("a: 1\n---\nb: 2\n"), ["manifest.syntax"]);
    assert!(codes("a: !!str 1\n").contains(&"manifest.syntax"));
    assert_eq!(codes(""), ["manifest.wrong-type"]);
    assert_eq!(codes("# only a comment\n"), ["manifest.wrong-type"]);
}

#[test]
fn a_key_that_is_no_text_is_reported_and_left_out() {
    assert_eq!(codes("[a]: 1\n").first(), Some(&"manifest.wrong-type"));
    assert_eq!(value("1: x\ntrue: y\n"), json!({"1": "x", "true": "y"}));
}

#[test]
fn a_key_that_stands_twice_is_reported_once_with_both_places() {
    let (_, report) = crate::manifest::read("name: a\nname: b\nservices: {}\n", "tenon.yaml");
    let problem = report.problems.iter().find(|problem| problem.code() == "manifest.duplicate-key").unwrap();
    assert_eq!(problem.place.line, 2);
    assert_eq!(problem.notes.first().map(|note| note.place.line), Some(1));
}
