//! Which keys a record has.

use super::At;
use crate::manifest::finding::Finding;
use crate::manifest::format::{Presence, Record, Rule, listed, records};
use crate::manifest::problems::Draft;
use crate::manifest::source::shortened;
use crate::manifest::suggest;
use crate::manifest::tree::{Entry, Node};

pub(super) fn unknown(entry: &Entry, record: &'static Record, at: At<'_>) -> Draft {
    let key = shortened(&entry.key);
    let place = if at.section == "system" { "the manifest".to_owned() } else { at.path.name() };
    let path = at.path.key(&entry.key);
    let draft = at
        .draft(Finding::UnknownKey, entry.key_span, format!("{place} has no key `{key}`"))
        .path(path.to_string())
        .label("not a known key here");
    if let Some(meant) = meant(&entry.key, record) {
        return draft.suggestion(Some(meant));
    }
    if entry.key == "<<" {
        return draft.help("YAML 1.2 has no merge keys; repeat the whole value by an alias, or write it out");
    }
    if record.anchor == "config-entry" {
        return draft.help("a map is the long form of an entry; write an object under `value:`");
    }
    match home(&entry.key) {
        Some(home) => {
            draft.help(format!("`{key}` is a key of {} (docs/manifest.md#{})", home.title, home.anchor))
        }
        None if record.fields.is_empty() => draft.help("there is nothing to set here"),
        None => draft.help(format!("known keys are {}", listed(record.fields.iter().map(|field| field.key)))),
    }
}

/// The key of this record that was most likely meant: one that other tools call so, or a similar one.
fn meant(key: &str, record: &Record) -> Option<&'static str> {
    let elsewhere = record.fields.iter().find(|field| field.elsewhere.contains(&key));
    elsewhere
        .map(|field| field.key)
        .or_else(|| suggest::nearest(key, record.fields.iter().map(|field| field.key)))
}

/// The only record that has this key.
fn home(key: &str) -> Option<&'static Record> {
    let mut homes = records().into_iter().filter(|record| record.field(key).is_some());
    let home = homes.next()?;
    if homes.next().is_some() { None } else { Some(home) }
}

pub(super) fn missing(node: &Node, record: &'static Record, at: At<'_>) -> Vec<Draft> {
    let required = record.fields.iter().filter(|field| matches!(field.presence, Presence::Required));
    required
        .filter(|field| node.entry(field.key).is_none())
        .map(|field| {
            let message = format!("{} has no `{}`", at.path.name(), field.key);
            let expected = format!("expected `{}:` {}", field.key, field.shape.expected());
            at.draft(Finding::MissingKey, node.span, message).label(expected)
        })
        .collect()
}

pub(super) fn broken_rules(node: &Node, record: &'static Record, at: At<'_>) -> Vec<Draft> {
    record.rules.iter().filter_map(|rule| broken(node, *rule, at)).collect()
}

fn broken(node: &Node, rule: Rule, at: At<'_>) -> Option<Draft> {
    match rule {
        Rule::ExactlyOne(keys) => none_of(node, keys, at).or_else(|| several_of(node, keys, at)),
        Rule::AtMostOne(keys) => several_of(node, keys, at),
        Rule::Needs(key, other) => {
            let entry = node.entry(key).filter(|_| node.entry(other).is_none())?;
            let message = format!("`{key}` has no effect without `{other}`");
            let draft =
                at.draft(Finding::MisplacedKey, entry.key_span, message).path(at.path.key(key).to_string());
            Some(
                draft
                    .label(format!("expected only beside `{other}`"))
                    .help(format!("remove `{key}`, or add `{other}`")),
            )
        }
    }
}

fn none_of(node: &Node, keys: &[&str], at: At<'_>) -> Option<Draft> {
    if keys.iter().any(|key| node.entry(key).is_some()) {
        return None;
    }
    let keys = either(keys);
    let draft = at.draft(Finding::MissingKey, node.span, format!("{} has no {keys}", at.path.name()));
    Some(draft.label(format!("expected {keys}")))
}

fn several_of(node: &Node, keys: &[&str], at: At<'_>) -> Option<Draft> {
    let mut entries = node.entries().iter().filter(|entry| keys.contains(&entry.key.as_str()));
    let (first, second) = (entries.next()?, entries.next()?);
    let message = format!("`{}` and `{}` exclude each other", first.key, second.key);
    let draft = at
        .draft(Finding::ConflictingKeys, second.key_span, message)
        .path(at.path.key(&second.key).to_string());
    Some(
        draft
            .label(format!("expected only one of {}", listed(keys.iter().copied())))
            .note(first.key_span, "the other one"),
    )
}

fn either(keys: &[&str]) -> String {
    let quoted: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    match quoted.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => quoted.concat(),
    }
}
