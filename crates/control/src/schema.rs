//! Whether a configuration value satisfies its key's JSON Schema (2020-12).
//!
//! Compiled schemas are kept, at most [`MOST_COMPILED`] of them. A schema may refer only to itself: nothing
//! is fetched from files or the network. Patterns run in linear time, so that no value can hang the server.

use jsonschema::{PatternOptions, Validator};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tenon_core::config::Value;
use tenon_core::{Code, Refusal};

/// How many compiled schemas are kept; when there are more, all are forgotten and compiled again as needed.
const MOST_COMPILED: usize = 256;

/// At most this many violations are named in one refusal.
const MOST_NAMED: usize = 5;

/// Compiled schemas by their text.
#[derive(Default)]
pub(crate) struct Schemas {
    compiled: Mutex<BTreeMap<Value, Arc<Validator>>>,
}

impl Schemas {
    /// Checks `value` against `schema`.
    ///
    /// # Errors
    /// `config.invalid-value` names each place of the value that does not fit (at most five), or says what is
    /// wrong with the schema itself.
    pub(crate) fn check(&self, key: &str, schema: &Value, value: &Json) -> Result<(), Refusal> {
        let validator = self.validator(key, schema)?;
        let problems: Vec<String> =
            validator.iter_errors(value).take(MOST_NAMED).map(|it| describe(&it)).collect();
        if problems.is_empty() {
            return Ok(());
        }
        let detail = format!("the value of {key:?} does not satisfy its schema: {}", problems.join("; "));
        Err(Refusal::new(Code::ConfigInvalidValue, detail))
    }

    fn validator(&self, key: &str, schema: &Value) -> Result<Arc<Validator>, Refusal> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(validator) = compiled.get(schema) {
            return Ok(Arc::clone(validator));
        }
        let validator = Arc::new(compile(schema).map_err(|problem| unusable(key, &problem))?);
        if compiled.len() >= MOST_COMPILED {
            compiled.clear();
        }
        compiled.insert(schema.clone(), Arc::clone(&validator));
        Ok(validator)
    }
}

fn compile(schema: &Value) -> Result<Validator, String> {
    let schema: Json = serde_json::from_str(schema.as_json()).map_err(|error| error.to_string())?;
    jsonschema::options()
        .offline()
        .with_pattern_options(PatternOptions::regex())
        .build(&schema)
        .map_err(|error| error.to_string())
}

fn unusable(key: &str, problem: &str) -> Refusal {
    let detail =
        format!("the schema of {key:?} cannot be used: {problem}; mend it in the manifest's `config`");
    Refusal::new(Code::ConfigInvalidValue, detail)
}

fn describe(error: &jsonschema::ValidationError<'_>) -> String {
    let path = error.instance_path().to_string();
    // A value may be large or private, so the message speaks of "value" instead of showing it.
    let problem = error.masked();
    if path.is_empty() { problem.to_string() } else { format!("at {path}: {problem}") }
}

#[cfg(test)]
mod tests;
