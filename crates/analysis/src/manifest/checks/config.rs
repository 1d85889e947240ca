//! First values of configuration against their schemas.

use crate::manifest::finding::Finding;
use crate::manifest::problems::{Draft, Problems};
use crate::manifest::tree::{Entry, Node, canonical, to_json};
use jsonschema::PatternOptions;
use serde_json::Value as Json;
use tenon_core::config::Value;

pub(super) fn check(root: &Node, problems: &mut Problems<'_>) {
    for service in root.get("config").map(Node::entries).unwrap_or_default() {
        for entry in service.value.entries() {
            if let Some(draft) = of_entry(entry) {
                problems.add(draft.path(format!("config.{}.{}", service.key, entry.key)));
            }
        }
    }
}

fn of_entry(entry: &Entry) -> Option<Draft> {
    let long = entry.value.is_map();
    let node = if long { entry.value.get("value")? } else { &entry.value };
    let value = to_json(node)?;
    if canonical(&value).len() > Value::MAX_BYTES {
        let message = format!("the value of `{}` is too large", entry.key);
        let draft = Draft::new(Finding::InvalidValue, node.span, message).section("config-entry");
        return Some(draft.label("expected at most 256 KiB as JSON"));
    }
    let schema = if long { entry.value.get("schema")? } else { return None };
    let problem = mismatch(&to_json(schema)?, &value)?;
    Some(match problem {
        Mismatch::Schema(problem) => {
            let message = format!("the schema of `{}` cannot be used: {problem}", entry.key);
            Draft::new(Finding::ConfigMismatch, schema.span, message)
                .label("expected a JSON Schema (2020-12)")
        }
        Mismatch::Value(problem) => {
            let message = format!("the value of `{}` does not satisfy its schema: {problem}", entry.key);
            let draft = Draft::new(Finding::ConfigMismatch, node.span, message)
                .label("expected a value that it allows");
            draft.note(schema.span, "the schema")
        }
    })
}

enum Mismatch {
    Schema(String),
    Value(String),
}

/// Schemas refer only to themselves, and patterns run in linear time: nothing is fetched and nothing hangs.
fn mismatch(schema: &Json, value: &Json) -> Option<Mismatch> {
    let options = jsonschema::options().offline().with_pattern_options(PatternOptions::regex());
    let validator = match options.build(schema) {
        Ok(validator) => validator,
        Err(error) => return Some(Mismatch::Schema(error.to_string())),
    };
    let error = validator.iter_errors(value).next()?;
    let path = error.instance_path().to_string();
    let problem = error.masked().to_string();
    Some(Mismatch::Value(if path.is_empty() { problem } else { format!("at {path}: {problem}") }))
}
