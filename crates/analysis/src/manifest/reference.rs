//! `docs/manifest.md`: every key and every finding, made from the tables of the format.

use super::finding::Finding;
use super::format::{Field, Presence, Record, Rule, Shape, listed, records};
use super::problems::Problems;
use super::report::{Severity, Style};
use super::source::Source;
use super::tree;
use std::fmt::Write;

const INTRODUCTION: &str = include_str!("reference/introduction.md");
const FINDINGS: &str = include_str!("reference/findings.md");
const MISTAKEN: &str = include_str!("reference/mistaken.yaml");

/// The reference of the format as Markdown: what `docs/manifest.md` holds.
pub fn reference() -> String {
    let sections: String = records().into_iter().map(section).collect();
    let findings: String = Finding::ALL.iter().copied().map(paragraph).collect();
    let introduction = INTRODUCTION.replace("{example}", MISTAKEN).replace("{report}", sample().trim_end());
    format!("{introduction}\n## Keys\n\n{sections}{FINDINGS}\n{findings}").trim_end().to_owned() + "\n"
}

/// A value of the tables, such as a default, as JSON; null if it is not one.
pub(super) fn value_of(yaml: &str) -> serde_json::Value {
    let source = Source::new(yaml);
    let node = tree::load(&source, &mut Problems::new(&source));
    node.and_then(|node| tree::to_json(&node)).unwrap_or_default()
}

/// What `tenon check` says of the example with mistakes.
fn sample() -> String {
    let (_, report) = super::read(MISTAKEN, "tenon.yaml");
    let text = report.to_text(Style { color: false, unicode: true, width: 100 });
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn section(record: &Record) -> String {
    let mut text = format!("<a id=\"{}\"></a>\n\n### {}\n\n{}\n\n", record.anchor, record.title, record.doc);
    if !record.fields.is_empty() {
        text += "| Key | Value | If not stated | Meaning |\n|---|---|---|---|\n";
        text.extend(record.fields.iter().map(|field| row(field, record)));
        text += "\n";
    }
    let rules: Vec<String> = record.rules.iter().map(|rule| sentence(*rule)).collect();
    if !rules.is_empty() {
        let _ = write!(text, "{}\n\n", rules.join(" "));
    }
    let _ = write!(text, "```yaml\n{}```\n\n", record.example);
    text
}

fn row(field: &Field, record: &Record) -> String {
    let absent = match field.presence {
        Presence::Required => "**required**".to_owned(),
        Presence::Optional if record.rules.iter().any(|rule| is_alternative(*rule, field.key)) => {
            "see below".to_owned()
        }
        Presence::Optional if matches!(field.shape, Shape::Record(inner) if inner.can_be_empty()) => {
            "its defaults".to_owned()
        }
        Presence::Optional => "–".to_owned(),
        Presence::Default(default) => format!("`{default}`"),
    };
    let value = described(&field.shape).replace('|', "\\|");
    format!("| `{}` | {value} | {absent} | {} |\n", field.key, field.doc)
}

fn is_alternative(rule: Rule, key: &str) -> bool {
    matches!(rule, Rule::ExactlyOne(keys) | Rule::AtMostOne(keys) if keys.contains(&key))
}

/// What a value looks like, with links to the sections that say more.
fn described(shape: &Shape) -> String {
    match shape {
        Shape::Record(record) => format!("[{}](#{})", record.title, record.anchor),
        Shape::List { item, least: 0, .. } => format!("list; each item: {}", described(item)),
        Shape::List { item, .. } => format!("list, not empty; each item: {}", described(item)),
        Shape::Map { key, value, .. } => format!("map by {}; each value: {}", key.noun, described(value)),
        Shape::Either(first, second) => format!("{}, or {}", described(first), described(second)),
        Shape::Choice(words) => {
            let word = |word: &super::format::Word| format!("`{}` ({})", word.word, word.doc);
            words.iter().map(word).collect::<Vec<_>>().join("; ")
        }
        Shape::Duration { .. } => "[duration](#durations)".to_owned(),
        shape => shape.expected(),
    }
}

fn sentence(rule: Rule) -> String {
    match rule {
        Rule::ExactlyOne(keys) => format!("Exactly one of {} must be stated.", listed(keys.iter().copied())),
        Rule::AtMostOne(keys) => format!("At most one of {} may be stated.", listed(keys.iter().copied())),
        Rule::Needs(key, other) => format!("`{key}` can be stated only beside `{other}`."),
    }
}

fn paragraph(finding: Finding) -> String {
    let severity = match finding.severity() {
        Severity::Error => "Error",
        Severity::Warning => "Warning",
    };
    format!(
        "<a id=\"{}\"></a>\n\n### `{}`\n\n**{severity}: {}.** {}\n\n",
        finding.anchor(),
        finding.code(),
        finding.title(),
        finding.explanation()
    )
}

#[cfg(test)]
mod tests;
