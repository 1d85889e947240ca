//! A long file is usually two.

use crate::shell::{Outcome, read, root};
use std::process::Command;

const MOST_LINES: usize = 600;

pub(super) fn problems() -> Outcome<Vec<String>> {
    let listed =
        read(Command::new("git").args(["ls-files", "*.rs", "*.py", "*.js", "*.proto"]).current_dir(root()))?;
    let lines =
        |file: &str| std::fs::read_to_string(root().join(file)).map_or(0, |text| text.lines().count());
    Ok(listed
        .lines()
        .map(|file| (file, lines(file)))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(file, lines)| {
            format!("{file} has {lines} lines; more than {MOST_LINES} are usually two files")
        })
        .collect())
}
