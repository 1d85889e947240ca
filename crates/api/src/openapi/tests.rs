use super::*;
use crate::{Problem, explain, http, system, testing};
use proptest::strategy::{Strategy, ValueTree};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// Every value of the members called `name`, at any depth.
fn members<'a>(name: &str, of: &'a Value, found: &mut Vec<&'a Value>) {
    match of {
        Value::Object(object) => {
            for (key, value) in object {
                if key == name {
                    found.push(value);
                }
                members(name, value, found);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|it| members(name, it, found)),
        _ => {}
    }
}

#[test]
fn every_reference_resolves() {
    for document in [openapi(), admin_openapi()] {
        let mut references = Vec::new();
        members("$ref", &document, &mut references);
        assert!(!references.is_empty());
        for reference in references {
            let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}

#[test]
fn operations_and_paths_are_unique() {
    for table in [served().cloned().collect(), ADMIN.to_vec()] {
        let operations: BTreeSet<_> = table.iter().map(|it| it.operation).collect();
        assert_eq!(operations.len(), table.len());
        let places: BTreeSet<_> = table.iter().map(|it| (it.path, it.method.as_str())).collect();
        assert_eq!(places.len(), table.len());
    }
    let document = openapi();
    let mut operations = Vec::new();
    members("operationId", &document, &mut operations);
    assert_eq!(operations.len(), served().count());
}

#[test]
fn every_variable_of_a_path_is_a_parameter_and_the_other_way_round() {
    for endpoint in served().chain(ADMIN) {
        let variable = |segment: &'static str| segment.strip_prefix('{')?.strip_suffix('}');
        let variables: BTreeSet<_> = endpoint.path.split('/').filter_map(variable).collect();
        let in_path = endpoint.parameters.iter().filter(|it| it.place == Place::Path);
        assert_eq!(variables, in_path.map(|it| it.name).collect(), "{}", endpoint.operation);
    }
}

#[test]
fn every_change_can_carry_an_actor_and_every_endpoint_answers() {
    for endpoint in served() {
        let changes = endpoint.method != Method::GET && endpoint.operation != "heartbeat";
        let actor = endpoint.parameters.iter().any(|it| it.name == crate::headers::ACTOR);
        assert_eq!(changes, actor, "{}", endpoint.operation);
        assert!(!endpoint.answers.is_empty(), "{}", endpoint.operation);
    }
}

#[test]
fn no_two_types_share_a_name() {
    // Where they do, schemars numbers them.
    for document in [openapi(), admin_openapi()] {
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(!name.ends_with(|it: char| it.is_ascii_digit()), "{name}");
        }
    }
}

#[test]
fn every_error_of_an_endpoint_is_documented_with_its_status() {
    let document = openapi();
    for endpoint in served() {
        let method = endpoint.method.as_str().to_ascii_lowercase();
        let responses = &document["paths"][endpoint.path][method]["responses"];
        for code in endpoint.errors {
            let description = responses[code.http_status().to_string()]["description"].as_str().unwrap();
            assert!(description.contains(code.as_str()), "{}: {description}", endpoint.operation);
        }
    }
}

/// Fails unless `value`, as it is sent, satisfies the schema that the document has under `name`.
#[track_caller]
fn satisfies(document: &Value, name: &str, value: &impl Serialize) {
    let mut schema = document.clone();
    schema["$ref"] = format!("#/components/schemas/{name}").into();
    let json = serde_json::to_value(value).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&json).map(|it| it.to_string()).collect();
    assert!(errors.is_empty(), "{name}: {errors:?}");
}

#[test]
fn schemas_say_what_is_sent() {
    let document = openapi();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..16 {
        let any = testing::system().new_tree(&mut runner).unwrap().current();
        satisfies(&document, "SystemDoc", &system::SystemDoc::from(&any));
    }
    satisfies(&document, "Problem", &Problem::new(Code::MeshTimeout, "late"));
    let instance = http::tests::instance();
    satisfies(&document, "Instance", &instance);
    for change in http::tests::changes() {
        satisfies(&document, "InstanceChange", &change);
    }
    satisfies(&document, "ConfigRecord", &http::tests::record());
    satisfies(&admin_openapi(), "Explanation", &explain::tests::explanation());
    satisfies(&admin_openapi(), "TracesData", &crate::otlp::tests::traces());
    let wrong = serde_json::json!({"replicas": "three"});
    let mut schema = document.clone();
    schema["$ref"] = "#/components/schemas/ScaleService".into();
    assert!(!jsonschema::draft202012::is_valid(&schema, &wrong));
    satisfies(&document, "ScaleService", &http::ScaleService { replicas: None });
}
