//! Reading what was typed.

use crate::failure::Failure;
use serde_json::Value;
use tenon_core::{Code, InvalidName};

/// A name or an id.
pub(super) fn name<T: std::str::FromStr<Err = InvalidName>>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error: InvalidName| Failure::new(Code::RequestInvalid, error.to_string()))
}

/// What an option says as `NAME=VALUE`.
pub(super) fn pair(option: &str, text: &str) -> Result<(String, String), Failure> {
    let expected = || format!("{option} {text:?} is not of the form NAME=VALUE");
    let (name, value) = text.split_once('=').ok_or_else(|| Failure::new(Code::RequestInvalid, expected()))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What is no JSON is taken as a text, so that people need not quote twice.
pub(super) fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}
