//! The schema and the reader are made from the same tables; these tests hold what they make against each
//! other.

use super::*;
use crate::manifest::source::Source;
use crate::manifest::tests::{SHOP, corpus};
use crate::manifest::tree;
use crate::manifest::{Finding, Problem, read};
use jsonschema::Validator;
use proptest::prelude::*;
use std::sync::LazyLock;

static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::options().offline().build(&schema()).unwrap());

/// What JSON Schema can express; for these reader and schema must agree.
const STRUCTURAL: [Finding; 6] = [
    Finding::UnknownKey,
    Finding::MissingKey,
    Finding::WrongType,
    Finding::WrongCount,
    Finding::ConflictingKeys,
    Finding::MisplacedKey,
];

fn json_of(text: &str) -> Option<Value> {
    let source = Source::new(text);
    let node = tree::load(&source, &mut crate::manifest::problems::Problems::new(&source))?;
    tree::to_json(&node)
}

/// Whether it is about a key that is wanted or not by what another one says, which the schema leaves to the reader.
fn is_by_another_key(problem: &Problem) -> bool {
    problem.finding == Finding::MissingKey
        && problem.path.starts_with("subscriptions.")
        && problem.path.ends_with(".push")
}

/// What the reader's errors and the schema say of a value must fit.
fn agree(value: &Value) -> Result<(), String> {
    let problems: Vec<Problem> = read(&value.to_string(), "tenon.yaml").1.problems;
    let structural: Vec<_> =
        problems.iter().filter(|problem| STRUCTURAL.contains(&problem.finding)).collect();
    let refused_by_form = problems.iter().any(|problem| {
        structural.contains(&problem)
            || matches!(problem.finding, Finding::InvalidValue | Finding::ResourceConstraint)
    });
    match VALIDATOR.validate(value) {
        Err(error) if !refused_by_form => {
            Err(format!("only the schema refuses {value}: {error} at {}", error.instance_path()))
        }
        Ok(()) if !structural.iter().all(|problem| is_by_another_key(problem)) => {
            Err(format!("only the reader refuses {value}: {structural:#?}"))
        }
        _ => Ok(()),
    }
}

#[test]
fn the_schema_is_one_of_json_schema_2020_12() {
    assert!(jsonschema::meta::is_valid(&schema()));
    assert_eq!(schema()["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn every_key_is_described() {
    let schema = schema();
    let records = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    for record in records {
        assert!(record["description"].is_string(), "{record}");
        for (key, property) in record["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{key}");
        }
    }
}

#[test]
fn a_default_satisfies_its_own_schema() {
    let schema = schema();
    let records = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    for (key, property) in records.flat_map(|record| record["properties"].as_object().unwrap()) {
        let Some(default) = property.get("default") else { continue };
        let mut property = property.clone();
        merge(&mut property, json!({"$defs": schema["$defs"]}));
        assert!(jsonschema::is_valid(&property, default), "{key}: {default}");
    }
}

#[test]
fn good_manifests_satisfy_the_schema() {
    let shop = [("shop".to_owned(), SHOP.to_owned())];
    for (name, text) in corpus("good").into_iter().chain(shop) {
        let value = json_of(&text).unwrap();
        assert!(VALIDATOR.is_valid(&value), "{name}: {:?}", VALIDATOR.validate(&value).err());
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses_for_its_structure() {
    for finding in STRUCTURAL {
        let (_, text) = corpus("bad").into_iter().find(|(name, _)| name == finding.code()).unwrap();
        assert!(!VALIDATOR.is_valid(&json_of(&text).unwrap()), "{}", finding.code());
    }
}

#[test]
fn schema_and_reader_agree_on_the_whole_corpus() {
    for (name, text) in corpus("good").into_iter().chain(corpus("bad")) {
        let Some(value) = json_of(&text) else { continue };
        agree(&value).unwrap_or_else(|problem| panic!("{name}: {problem}"));
    }
}

/// A change to one value of a tree, chosen by number.
#[derive(Debug, Clone)]
enum Change {
    Remove,
    Rename,
    Replace(Value),
    Add(Value),
}

fn change() -> impl Strategy<Value = Change> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..2_000).prop_map(Value::from),
        Just(json!(0.5)),
        prop::sample::select(vec![
            "",
            "one",
            "30s",
            "http",
            "/x",
            "a b",
            "GET",
            "*",
            "127.0.0.1:80",
            "\u{e4}",
            "A_B"
        ])
        .prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([{}])),
        Just(json!(["one"])),
        Just(json!({"path": "/x"})),
        Just(json!({"value": 1})),
    ];
    prop_oneof![
        Just(Change::Remove),
        Just(Change::Rename),
        value.clone().prop_map(Change::Replace),
        value.prop_map(Change::Add),
    ]
}

/// Applies a change to the value with this number, counted in depth.
fn apply(value: &mut Value, number: &mut usize, change: &Change) {
    match value {
        Value::Object(members) => {
            for key in members.keys().cloned().collect::<Vec<_>>() {
                match (std::mem::replace(number, number.wrapping_sub(1)), change) {
                    (0, Change::Remove) => drop(members.remove(&key)),
                    (0, Change::Rename) => {
                        let value = members.remove(&key).unwrap();
                        members.insert(format!("{key}x"), value);
                    }
                    (0, Change::Replace(new)) => drop(members.insert(key, new.clone())),
                    (0, Change::Add(new)) => drop(members.insert("timeout".to_owned(), new.clone())),
                    _ => apply(members.get_mut(&key).unwrap(), number, change),
                }
            }
        }
        Value::Array(items) => {
            for index in 0..items.len() {
                match (std::mem::replace(number, number.wrapping_sub(1)), change) {
                    (0, Change::Remove) => return drop(items.remove(index)),
                    (0, Change::Replace(new) | Change::Add(new)) => items[index] = new.clone(),
                    _ => apply(&mut items[index], number, change),
                }
            }
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn schema_and_reader_agree_on_changed_manifests(
        changes in prop::collection::vec((0_usize..300, change()), 1..4),
        shop in any::<bool>(),
    ) {
        let every_key = corpus("good").into_iter().find(|(name, _)| name == "every-key").unwrap().1;
        let mut value = json_of(if shop { SHOP } else { &every_key }).unwrap();
        for (number, change) in changes {
            let mut number = number;
            apply(&mut value, &mut number, &change);
        }
        prop_assert_eq!(agree(&value), Ok(()));
    }
}
