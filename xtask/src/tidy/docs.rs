//! The documents that must stay true: every path that `ARCHITECTURE.md` and `README.md` name exists.

use crate::shell::{Outcome, root};

const DOCUMENTS: [&str; 2] = ["ARCHITECTURE.md", "README.md"];

/// Folders of the repository: a text in backquotes that begins with one is a path.
const TOP: [&str; 8] = ["crates/", "docs/", "examples/", "bench/", "xtask/", "fuzz/", ".ci/", ".cargo/"];

pub(super) fn problems() -> Outcome<Vec<String>> {
    let mut problems = Vec::new();
    for document in DOCUMENTS {
        let text = std::fs::read_to_string(root().join(document))
            .map_err(|error| format!("cannot read {document}: {error}"))?;
        problems.extend(
            missing_paths(&text).map(|path| format!("{document} names {path}, which does not exist")),
        );
    }
    Ok(problems)
}

fn missing_paths(text: &str) -> impl Iterator<Item = &str> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .chain(text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()))
        .filter(|quoted| {
            TOP.iter().any(|top| quoted.starts_with(top)) && !quoted.contains([' ', '*', '<', '{'])
        })
        .map(|quoted| quoted.split('#').next().unwrap_or(quoted))
        .filter(|path| !root().join(path).exists())
}

#[cfg(test)]
mod tests;
