//! What is wrong with a message from outside, and where.

use std::fmt::Display;
use std::str::FromStr;

/// A message that cannot be what its sender meant. Nothing of it is used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidMessage {
    /// The field, from the message down, for example `services[2].traffic.timeout_micros`.
    pub field: String,
    /// What is wrong with it, and what is expected.
    pub problem: String,
}

/// What comes of reading a part of a message.
pub(crate) type Checked<T> = Result<T, InvalidMessage>;

impl InvalidMessage {
    pub(crate) fn new(field: impl Into<String>, problem: impl Display) -> Self {
        Self { field: field.into(), problem: problem.to_string() }
    }

    /// The same, seen from the message around it.
    pub(crate) fn within(self, outer: &str) -> Self {
        let field = if self.field.is_empty() { outer.to_owned() } else { format!("{outer}.{}", self.field) };
        Self { field, ..self }
    }
}

/// Reads a field that must be there.
pub(crate) fn required<T>(field: &str, value: Option<T>) -> Checked<T> {
    value.ok_or_else(|| InvalidMessage::new(field, "is missing"))
}

/// Reads a message within this one.
pub(crate) fn nested<M, T: TryFrom<M, Error = InvalidMessage>>(
    field: &str,
    message: Option<M>,
) -> Checked<T> {
    required(field, message)?.try_into().map_err(|error: InvalidMessage| error.within(field))
}

/// Reads a message that may be absent.
pub(crate) fn optional<M, T: TryFrom<M, Error = InvalidMessage>>(
    field: &str,
    message: Option<M>,
) -> Checked<Option<T>> {
    message.map(|message| nested(field, Some(message))).transpose()
}

/// Reads a text as the value that it stands for.
pub(crate) fn parsed<T: FromStr<Err: Display>>(field: &str, text: &str) -> Checked<T> {
    text.parse().map_err(|error| InvalidMessage::new(field, error))
}

/// Reads each element of a list.
pub(crate) fn each<M, T, C: FromIterator<T>>(
    field: &str,
    messages: impl IntoIterator<Item = M>,
    read: impl Fn(M) -> Checked<T>,
) -> Checked<C> {
    let at = |index: usize| format!("{field}[{index}]");
    let read = |(index, message)| read(message).map_err(|error: InvalidMessage| error.within(&at(index)));
    messages.into_iter().enumerate().map(read).collect()
}

/// Reads each element of a list whose keys must differ.
pub(crate) fn distinct<M, K: Ord + Display, V>(
    field: &str,
    messages: impl IntoIterator<Item = M>,
    read: impl Fn(M) -> Checked<(K, V)>,
) -> Checked<std::collections::BTreeMap<K, V>> {
    let pairs: Vec<(K, V)> = each(field, messages, read)?;
    let mut map = std::collections::BTreeMap::new();
    for (index, (key, value)) in pairs.into_iter().enumerate() {
        if map.contains_key(&key) {
            return Err(InvalidMessage::new(
                format!("{field}[{index}]"),
                format_args!("{key} is given twice"),
            ));
        }
        map.insert(key, value);
    }
    Ok(map)
}

/// Reads a number into a narrower type.
pub(crate) fn narrowed<N: Copy + Display, T: TryFrom<N>>(field: &str, number: N) -> Checked<T> {
    T::try_from(number).map_err(|_| InvalidMessage::new(field, format_args!("{number} is too large")))
}

/// Reads the value of an enum that must be stated; `of` knows the numbers that are meaningful.
pub(crate) fn stated<E, T>(field: &str, number: i32, of: impl Fn(E) -> Option<T>) -> Checked<T>
where
    E: TryFrom<i32>,
{
    let unknown = || InvalidMessage::new(field, format_args!("{number} is not a value that is known here"));
    E::try_from(number).ok().and_then(of).ok_or_else(unknown)
}
