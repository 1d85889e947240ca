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

/// As [`json_or_text`], but what begins as JSON has to be JSON: a text that was meant to be an object goes unseen until it is too late.
pub(super) fn json_or_word(what: &str, text: &str) -> Result<Value, Failure> {
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(error) if text.trim_start().starts_with(['{', '[', '"']) => {
            let message = format!(
                "{what} begins as JSON does, but cannot be read: {error}; mend it, or write a text that begins so as a JSON \
                 string in quotes"
            );
            Err(Failure::new(Code::RequestInvalid, message))
        }
        Err(_) => Ok(Value::String(text.to_owned())),
    }
}

/// What is no JSON is taken as a text, so that people need not quote twice.
pub(super) fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests;
