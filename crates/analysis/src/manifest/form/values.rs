//! Single values: their types and their forms.

use super::At;
use crate::manifest::finding::Finding;
use crate::manifest::format::{Quantity, Shape, TextForm, Word, duration, shortest};
use crate::manifest::problems::Draft;
use crate::manifest::source::{Span, shortened};
use crate::manifest::suggest;
use crate::manifest::tree::{Meaning, Node, Scalar, Value};
use std::time::Duration;

/// Why a value is not accepted.
pub(super) enum Wrong {
    Type,
    Value(Box<Draft>),
}

/// Whether a value has the type of a shape that holds no other values.
pub(super) fn has_type(node: &Node, shape: &Shape) -> bool {
    let Some(scalar) = node.scalar() else { return false };
    match (shape, scalar.meaning()) {
        (Shape::Text(_) | Shape::Choice(_) | Shape::Duration { .. }, Meaning::Text(_)) => true,
        (Shape::Boolean, Meaning::Boolean(_)) => true,
        (Shape::Integer { .. }, Meaning::Integer(_)) => true,
        (Shape::Share, Meaning::Integer(_) | Meaning::Float(_)) => true,
        (Shape::Quantity(_), Meaning::Text(_) | Meaning::Integer(_)) => true,
        (Shape::Quantity(quantity), Meaning::Float(_)) => quantity.fraction,
        (Shape::Written, meaning) => meaning != Meaning::Null,
        _ => false,
    }
}

/// Checks a value against a shape that holds no other values.
pub(super) fn scalar(node: &Node, shape: &Shape, at: At<'_>) -> Result<(), Wrong> {
    let Some(scalar) = node.scalar().filter(|_| has_type(node, shape)) else { return Err(Wrong::Type) };
    let draft = match shape {
        Shape::Text(form) => text(&scalar.text, node.span, form, at),
        Shape::Choice(words) => choice(&scalar.text, node.span, words, at),
        Shape::Integer { least, most } => integer(scalar, node.span, (*least, *most), at),
        Shape::Share => share(scalar, node.span, at),
        Shape::Duration { least, most } => span(&scalar.text, node.span, (*least, *most), at),
        Shape::Quantity(quantity) => amount(&scalar.text, node.span, quantity, at),
        Shape::Written => written(&scalar.text, node.span, at),
        _ => None,
    };
    draft.map_or(Ok(()), |draft| Err(Wrong::Value(Box::new(draft))))
}

/// What is wrong with a text of some form.
pub(super) fn text(text: &str, span: Span, form: &TextForm, at: At<'_>) -> Option<Draft> {
    let problem = check(text, form).err()?;
    let message = format!("the {} `{}` {problem}", form.noun, shortened(text));
    let draft = at.draft(Finding::InvalidValue, span, message).label(format!("expected {}", form.form));
    Some(draft.suggestion(mended(text, form)))
}

fn check(text: &str, form: &TextForm) -> Result<(), String> {
    let (least, most) = (form.characters.start(), form.characters.end());
    if !form.characters.contains(&text.chars().count()) {
        return Err(format!("must have {least} to {most} characters"));
    }
    (form.check)(text)
}

/// The same text, written as the form has it, if that is all that is wrong.
fn mended(text: &str, form: &TextForm) -> Option<String> {
    if text.len() > 80 {
        return None;
    }
    let dashed = |text: &str| text.trim().replace(['_', ' ', '.'], "-");
    let candidates = [
        text.trim().to_owned(),
        text.to_lowercase(),
        text.to_uppercase(),
        dashed(text),
        dashed(text).to_lowercase(),
        format!("/{}", text.trim()),
        format!("127.0.0.1:{}", text.trim_start_matches(':')),
        text.replacen("localhost", "127.0.0.1", 1),
    ];
    candidates.into_iter().find(|candidate| candidate != text && check(candidate, form).is_ok())
}

fn choice(text: &str, span: Span, words: &[Word], at: At<'_>) -> Option<Draft> {
    let known = || words.iter().map(|word| word.word);
    if known().any(|word| word == text) {
        return None;
    }
    let message = format!("{} does not know `{}`", at.path.name(), shortened(text));
    let expected = format!("expected one of {}", one_of(known()));
    Some(
        at.draft(Finding::InvalidValue, span, message)
            .label(expected)
            .suggestion(suggest::nearest(text, known())),
    )
}

fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn integer(scalar: &Scalar, span: Span, (least, most): (u64, u64), at: At<'_>) -> Option<Draft> {
    let Meaning::Integer(value) = scalar.meaning() else { return None };
    if (i128::from(least)..=i128::from(most)).contains(&value) {
        return None;
    }
    let message = format!("{} is out of range", at.path.name());
    let expected = Shape::Integer { least, most }.expected();
    Some(at.draft(Finding::InvalidValue, span, message).label(format!("expected {expected}")))
}

fn share(scalar: &Scalar, span: Span, at: At<'_>) -> Option<Draft> {
    let within = match scalar.meaning() {
        Meaning::Integer(value) => matches!(value, 0 | 1),
        Meaning::Float(value) => (0.0..=1.0).contains(&value),
        _ => false,
    };
    if within {
        return None;
    }
    let message = format!("{} is out of range", at.path.name());
    let expected = Shape::Share.expected();
    Some(at.draft(Finding::InvalidValue, span, message).label(format!("expected {expected}")))
}

fn span(text: &str, span: Span, (least, most): (Duration, Duration), at: At<'_>) -> Option<Draft> {
    let value = duration(text);
    if value.is_some_and(|value| (least..=most).contains(&value)) {
        return None;
    }
    let problem = if value.is_some() { "is out of range" } else { "is not a duration" };
    let message = format!("{}: `{}` {problem}", at.path.name(), shortened(text));
    let expected = Shape::Duration { least, most }.expected();
    let draft = at.draft(Finding::InvalidValue, span, message).label(format!("expected {expected}"));
    Some(draft.suggestion(mended_duration(text).filter(|_| value.is_none())))
}

/// The duration that another tool's form most likely stands for.
fn mended_duration(text: &str) -> Option<String> {
    const LONG: [(&str, &str); 7] = [
        ("milliseconds", "ms"),
        ("millis", "ms"),
        ("minutes", "m"),
        ("seconds", "s"),
        ("hours", "h"),
        ("min", "m"),
        ("sec", "s"),
    ];
    let plain = text.replace([' ', '_'], "").to_lowercase();
    let short = LONG.iter().fold(plain.clone(), |text, (long, short)| text.replace(long, short));
    if duration(&short).is_some() {
        return Some(short);
    }
    let fraction: f64 = plain.strip_suffix('s')?.parse().ok()?;
    let millis = fraction * 1_000.0;
    ((1.0..=86_400_000.0).contains(&millis)).then(|| shortest(Duration::from_millis(millis as u64)))
}

fn amount(text: &str, span: Span, quantity: &Quantity, at: At<'_>) -> Option<Draft> {
    let (finding, problem) = match (quantity.parse)(text) {
        Some(0) => (Finding::ResourceConstraint, "must be above 0"),
        Some(_) => return None,
        None => (Finding::InvalidValue, "is not of the expected form"),
    };
    let message = format!("{}: the {} `{}` {problem}", at.path.name(), quantity.noun, shortened(text));
    Some(at.draft(finding, span, message).label(format!("expected {}", quantity.form)))
}

fn written(text: &str, span: Span, at: At<'_>) -> Option<Draft> {
    if !text.contains('\0') {
        return None;
    }
    let message = format!("{} must not hold the character NUL", at.path.name());
    Some(at.draft(Finding::InvalidValue, span, message).label("expected text without NUL"))
}

/// Adds to a problem of type what would make the value right, where that can be told.
pub(super) fn with_remedy(draft: Draft, node: &Node, shape: &Shape) -> Draft {
    let text = node.scalar().map(|scalar| shortened(&scalar.text));
    match (shape, text) {
        (_, Some(text)) if text.is_empty() => draft,
        (Shape::Duration { .. }, Some(text)) => {
            draft.suggestion(Some(format!("{text}s"))).help("a duration has a unit: `ms`, `s`, `m` or `h`")
        }
        (Shape::Text(_) | Shape::Choice(_), Some(text)) => draft
            .help(format!("YAML reads `{text}` as something other than text; put it in quotes: \"{text}\"")),
        (Shape::List { item: Shape::Text(_), .. }, Some(text)) => draft.suggestion(Some(as_list(&text))),
        (Shape::Boolean | Shape::Integer { .. }, Some(text)) if has_type(&unquoted(&text), shape) => {
            draft.suggestion(Some(text)).help("remove the quotes")
        }
        _ => draft,
    }
}

fn as_list(text: &str) -> String {
    let items: Vec<&str> = text.split_whitespace().collect();
    format!("[{}]", items.join(", "))
}

fn unquoted(text: &str) -> Node {
    let scalar = Scalar { text: text.to_owned(), plain: true };
    Node { span: Span::default(), value: Value::Scalar(scalar) }
}
