//! No text makes the reader panic, and whatever it says holds together.

use super::*;
use proptest::prelude::*;

fn holds_together(text: &str) -> Result<(), TestCaseError> {
    let (system, report) = read(text, "tenon.yaml");
    prop_assert_eq!(system.is_some(), !report.has_errors());
    prop_assert!(report.problems.is_sorted_by_key(|problem| problem.place.start));
    for problem in &report.problems {
        for place in problem.notes.iter().map(|note| &note.place).chain([&problem.place]) {
            prop_assert!(text.get(place.start..place.end).is_some(), "{:?}", problem);
            prop_assert!(place.line > 0 && place.column > 0);
        }
    }
    let rendered = report.to_text(Style { color: false, unicode: true, width: 80 });
    prop_assert_eq!(rendered.is_empty(), report.is_clean());
    prop_assert_eq!(rendered.matches("docs/manifest.md#").count() >= report.problems.len(), true);
    Ok(())
}

/// What YAML is made of.
fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "name",
        "services",
        "a",
        "1",
        "0x",
        ".5",
        "~",
        "true",
        ": ",
        ":",
        " ",
        "  ",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "? ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&a ",
        "*a",
        "&b ",
        "*b",
        "!!str ",
        "!x",
        "'",
        "\"",
        "|\n",
        ">-\n",
        "#",
        " # c",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "\t",
        "\r\n",
        "é",
        "\u{feff}",
        "\u{2028}",
        "\u{85}",
        "\0",
        "\\x",
        "<<: ",
    ])
}

/// One change to a text at a place from 0 (start) to 1 (end).
fn edit() -> impl Strategy<Value = (f64, usize, String)> {
    let inserted = prop_oneof![Just(String::new()), token().prop_map(ToOwned::to_owned), "\\PC{0,3}"];
    (0.0..1.0, 0_usize..12, inserted)
}

fn edited(text: &str, edits: &[(f64, usize, String)]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for (place, removed, inserted) in edits {
        let start = (place * characters.len() as f64) as usize;
        let end = (start + removed).min(characters.len());
        characters.splice(start..end, inserted.chars());
    }
    characters.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_without_panic(text in any::<String>()) {
        holds_together(&text)?;
    }

    #[test]
    fn anything_made_of_yaml_is_read_without_panic(tokens in prop::collection::vec(token(), 0..60)) {
        holds_together(&tokens.concat())?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_manifest_is_read_without_panic(edits in prop::collection::vec(edit(), 1..6), shop in any::<bool>()) {
        let every_key = corpus("good").into_iter().find(|(name, _)| name == "every-key").unwrap().1;
        holds_together(&edited(if shop { SHOP } else { &every_key }, &edits))?;
    }
}

#[test]
fn texts_that_are_hard_to_scan_are_read_within_their_bounds() {
    let hard = [
        "[",
        "{",
        "- ",
        "a: ",
        "? ",
        "a:\n",
        "&a ",
        "[a: ",
        "{a: [",
        "'",
        "\"",
        "\"\\u0041",
        "!",
        "|\n",
        "#",
        "\n",
        " \n",
        "-\n",
        "a\n",
        "*a ",
        "---\n",
        "[a, ",
        "? a\n",
        "%",
        "\u{e4}",
    ];
    for part in hard {
        let text = part.repeat(20_000);
        let (system, report) = read(&text, "tenon.yaml");
        assert!(system.is_none() && report.has_errors(), "{part}");
    }
}

#[test]
fn a_schema_that_refers_to_itself_without_end_is_read() {
    for schema in [
        "{$ref: \"#\"}",
        "{allOf: [{$ref: \"#\"}]}",
        "{$defs: {a: {$ref: \"#/$defs/a\"}}, $ref: \"#/$defs/a\"}",
    ] {
        let text = format!("{SMALLEST}config: {{one: {{k: {{value: 1, schema: {schema}}}}}}}\n");
        let (_, report) = read(&text, "tenon.yaml");
        assert!(report.problems.len() <= 1, "{schema}");
    }
}
