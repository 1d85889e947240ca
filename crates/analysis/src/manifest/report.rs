//! What reading a manifest finds, as plain data and for people.

mod render;

pub use render::Style;

use super::finding::Finding;

/// Everything that was found in one manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What the manifest is called, usually its file's path.
    pub name: String,
    /// The problems in the order of their places; at most 500.
    pub problems: Vec<Problem>,
    /// How many more problems there are.
    pub omitted: usize,
    text: String,
    has_errors: bool,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of problem it is.
    pub finding: Finding,
    /// How grave it is.
    pub severity: Severity,
    /// One sentence: what is wrong.
    pub message: String,
    /// Which value it is about, such as `services.order.interfaces[0].name`; empty for the whole file.
    pub path: String,
    /// Where it is.
    pub place: Place,
    /// What is to be said beneath the offending text, as a rule what was expected there.
    pub label: String,
    /// What was most likely meant.
    pub suggestion: Option<String>,
    /// How to mend it, if the message does not say it all.
    pub help: Option<String>,
    /// Other places that matter.
    pub notes: Vec<Note>,
    pub(super) section: String,
}

/// How grave a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It can be applied, but is probably not what is wanted.
    Warning,
    /// It cannot be applied.
    Error,
}

/// A part of the manifest's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where it begins, in bytes from 0.
    pub start: usize,
    /// Where it ends, in bytes from 0, exclusive.
    pub end: usize,
    /// The line where it begins, from 1.
    pub line: usize,
    /// The column where it begins, in characters from 1.
    pub column: usize,
    /// The text, at most 80 characters of it.
    pub text: String,
    /// Whether its line is short enough to be drawn.
    pub(super) is_drawable: bool,
}

/// Another place that matters to a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where.
    pub place: Place,
    /// Why it matters.
    pub label: String,
}

impl Report {
    pub(super) fn new(
        name: &str,
        text: &str,
        problems: Vec<Problem>,
        omitted: usize,
        has_errors: bool,
    ) -> Self {
        Self { name: name.to_owned(), problems, omitted, text: text.to_owned(), has_errors }
    }

    /// Whether there are errors, so that there is no system.
    pub fn has_errors(&self) -> bool {
        self.has_errors
    }

    /// Whether nothing at all was found.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// The same report with every warning as an error (`tenon check --strict`).
    #[must_use]
    pub fn strict(mut self) -> Self {
        for problem in &mut self.problems {
            problem.severity = Severity::Error;
        }
        self.has_errors = !self.problems.is_empty();
        self
    }

    /// How many of the problems that were kept are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity == severity).count()
    }
}

impl Problem {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.finding.code()
    }

    /// Where it is documented, relative to the project's root: `docs/manifest.md#traffic-retry`.
    pub fn documentation(&self) -> String {
        format!("docs/manifest.md#{}", self.section)
    }
}

impl Severity {
    /// Its name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

#[cfg(test)]
mod tests;
