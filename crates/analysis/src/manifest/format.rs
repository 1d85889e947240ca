//! The format of a manifest, as tables: which keys there are, what each holds, what it means and what holds
//! if it is not stated.
//!
//! These tables are the only description of the format. The reader, the JSON Schema and the reference follow
//! them, so the three cannot disagree. What a key does is decided where the system is built (`build`).

mod balance;
mod gateway;
mod policy;
mod record;
mod saga;
mod security;
mod service;
mod subscription;
mod system;
mod telemetry;
mod texts;
mod traffic;
mod units;

pub(super) use record::{Field, Presence, Record, Rule};
pub(super) use system::SYSTEM;
pub(super) use traffic::{SERVER_ERROR, grpc_status};
pub(super) use units::{DURATION_PATTERN, cpu_millis};
pub use units::{duration, memory_bytes, shortest};

use std::ops::RangeInclusive;
use std::time::Duration;

/// What a value looks like.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// Text of some form.
    Text(&'static TextForm),
    /// One of some words.
    Choice(&'static [Word]),
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer { least: u64, most: u64 },
    /// A share of a whole: a number from 0 to 1.
    Share,
    /// A span of time, as text with units.
    Duration { least: Duration, most: Duration },
    /// A number, or text with a unit.
    Quantity(&'static Quantity),
    /// Text, a number or a boolean, taken as it was written.
    Written,
    /// Any JSON value.
    Json,
    /// Any JSON value but an object.
    JsonButObject,
    /// A list.
    List { item: &'static Shape, least: usize, most: usize },
    /// A map with keys of the user's choice.
    Map { key: &'static TextForm, value: &'static Shape, least: usize, most: usize },
    /// A map with keys of ours.
    Record(&'static Record),
    /// One of two shapes, told apart by the type of the value.
    Either(&'static Shape, &'static Shape),
}

/// A form of text.
pub(super) struct TextForm {
    /// What such a text is, without article: `service name`.
    pub(super) noun: &'static str,
    /// How it looks, for people.
    pub(super) form: &'static str,
    /// How many characters it may have.
    pub(super) characters: RangeInclusive<usize>,
    /// How it looks, as a regular expression; accepts everything that `check` accepts.
    pub(super) pattern: Option<&'static str>,
    /// What is wrong with a text, as a predicate: `must begin with '/'`.
    pub(super) check: fn(&str) -> Result<(), String>,
}

/// One of the words of a choice.
pub(super) struct Word {
    pub(super) word: &'static str,
    pub(super) doc: &'static str,
}

/// A number that may have a unit.
pub(super) struct Quantity {
    pub(super) noun: &'static str,
    pub(super) form: &'static str,
    pub(super) pattern: &'static str,
    /// Whether a number without a unit may have a fraction.
    pub(super) fraction: bool,
    /// The value, or `None` if the text is not of the form.
    pub(super) parse: fn(&str) -> Option<u64>,
}

impl Shape {
    /// What is expected, with an article, for people.
    pub(super) fn expected(&self) -> String {
        match self {
            Self::Text(form) => form.form.to_owned(),
            Self::Choice(words) => format!("one of {}", listed(words.iter().map(|word| word.word))),
            Self::Boolean => "`true` or `false`".to_owned(),
            Self::Integer { least, most: u64::MAX } => format!("a whole number from {least}"),
            Self::Integer { least, most } => format!("a whole number from {least} to {most}"),
            Self::Share => "a number from 0 to 1".to_owned(),
            Self::Duration { least, most } => format!(
                "a duration from {} to {}, such as `500ms`, `30s` or `1m30s`",
                shortest(*least),
                shortest(*most)
            ),
            Self::Quantity(quantity) => quantity.form.to_owned(),
            Self::Written => "text, a number or a boolean".to_owned(),
            Self::Json => "any value".to_owned(),
            Self::JsonButObject => "a plain value or a list".to_owned(),
            Self::List { item, .. } => format!("a list, each item {}", item.expected()),
            Self::Map { key, .. } => format!("a map by {}", key.noun),
            Self::Record(record) => format!("a map ({})", record.title),
            Self::Either(first, second) => format!("{}, or {}", first.expected(), second.expected()),
        }
    }
}

/// Words for people: `a`, `b` and `c`.
pub(super) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

/// Every record of the format, each once, what a record holds right after it.
pub(super) fn records() -> Vec<&'static Record> {
    let mut found = Vec::new();
    add_record(&SYSTEM, &mut found);
    found
}

fn add_record(record: &'static Record, found: &mut Vec<&'static Record>) {
    if found.iter().any(|known| known.anchor == record.anchor) {
        return;
    }
    found.push(record);
    for field in record.fields {
        add_records_of(&field.shape, found);
    }
}

fn add_records_of(shape: &'static Shape, found: &mut Vec<&'static Record>) {
    match shape {
        Shape::Record(record) => add_record(record, found),
        Shape::List { item, .. } => add_records_of(item, found),
        Shape::Map { value, .. } => add_records_of(value, found),
        Shape::Either(first, second) => {
            add_records_of(first, found);
            add_records_of(second, found);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
