//! JSON values of configuration: the canonical text that `core` compares, and back.

use tenon_core::config::Value;

/// A value is larger than may be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the value has {bytes} bytes as JSON; at most {} are accepted", Value::MAX_BYTES)]
pub struct TooLarge {
    /// How many bytes it has.
    pub bytes: usize,
}

/// The value as `core` keeps it: canonical text without spaces, members sorted by name. Equal values have equal
/// texts, whatever order or spacing they came in.
///
/// # Errors
/// [`TooLarge`] if the text has more than [`Value::MAX_BYTES`].
pub fn to_core(value: &serde_json::Value) -> Result<Value, TooLarge> {
    let mut text = String::new();
    write(value, &mut text);
    if text.len() > Value::MAX_BYTES {
        return Err(TooLarge { bytes: text.len() });
    }
    Ok(Value::from_canonical(&text))
}

/// The JSON value; a text that is not JSON, which [`to_core`] never makes, is shown as a string.
pub fn from_core(value: &Value) -> serde_json::Value {
    serde_json::from_str(value.as_json()).unwrap_or_else(|_| value.as_json().into())
}

/// Sorted here, so that it does not depend on how `serde_json` keeps members.
fn write(value: &serde_json::Value, to: &mut String) {
    match value {
        serde_json::Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            let member = |(name, value): &(&String, &serde_json::Value), to: &mut String| {
                to.push_str(&serde_json::Value::from(name.as_str()).to_string());
                to.push(':');
                write(value, to);
            };
            enclosed('{', &members, '}', member, to);
        }
        serde_json::Value::Array(elements) => enclosed('[', elements, ']', write, to),
        scalar => to.push_str(&scalar.to_string()),
    }
}

fn enclosed<T>(open: char, elements: &[T], close: char, write: impl Fn(&T, &mut String), to: &mut String) {
    to.push(open);
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            to.push(',');
        }
        write(element, to);
    }
    to.push(close);
}

#[cfg(test)]
mod tests;
