//! Every crate that is linked has a licence that goes with Apache-2.0. The list is the one of `deny.toml`.

use crate::shell::{Outcome, root};
use cargo_metadata::{MetadataCommand, Package};
use std::collections::BTreeSet;

pub(super) fn problems() -> Outcome<Vec<String>> {
    let allowed = allowed_licences()?;
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(vec!["--filter-platform".into(), "x86_64-unknown-linux-gnu".into()])
        .exec()?;
    let refused = |package: &&Package| {
        let expression = package.license.as_deref().unwrap_or_default();
        !is_allowed(expression, &allowed)
    };
    Ok(metadata
        .packages
        .iter()
        .filter(refused)
        .map(|it| {
            format!(
                "{} {} has the licence {:?}, which deny.toml does not allow",
                it.name, it.version, it.license
            )
        })
        .collect())
}

/// The texts between quotes in the `allow` list of `deny.toml`.
fn allowed_licences() -> Outcome<BTreeSet<String>> {
    let text = std::fs::read_to_string(root().join("deny.toml"))?;
    let list = text
        .split_once("allow = [")
        .and_then(|(_, rest)| rest.split_once(']'))
        .ok_or("deny.toml has no list `allow = [`")?;
    Ok(list.0.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

/// An SPDX expression as crates write it: alternatives of conjunctions, without nesting beyond one level.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace('/', " OR ");
    if let Some((conjunct, rest)) = split_outside(&expression, " AND ") {
        return is_allowed(conjunct, allowed) && is_allowed(rest, allowed);
    }
    let bare = expression.trim().trim_start_matches('(').trim_end_matches(')');
    bare.split(" OR ").any(|one| one.split(" AND ").all(|one| allowed.contains(one.trim())))
}

/// Splits at the first `separator` that stands outside of parentheses, if parentheses are there at all.
fn split_outside<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let mut from = 0;
    while let Some(found) = text.get(from..)?.find(separator) {
        let at = from + found;
        let before = text.get(..at)?;
        if before.matches('(').count() == before.matches(')').count() && text.contains('(') {
            return Some((before, text.get(at + separator.len()..)?));
        }
        from = at + separator.len();
    }
    None
}

#[cfg(test)]
mod tests;
