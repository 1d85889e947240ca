//! Collecting problems while a manifest is read.

use super::finding::Finding;
use super::report::{Note, Problem, Report, Severity};
use super::source::{Source, Span};

/// The most problems that are kept; the others are only counted.
const MOST_KEPT: usize = 500;

/// All problems found so far.
pub(super) struct Problems<'a> {
    source: &'a Source<'a>,
    kept: Vec<Problem>,
    omitted: usize,
    has_errors: bool,
}

impl<'a> Problems<'a> {
    pub(super) fn new(source: &'a Source<'a>) -> Self {
        Self { source, kept: Vec::new(), omitted: 0, has_errors: false }
    }

    pub(super) fn add(&mut self, draft: Draft) {
        self.has_errors |= draft.finding.severity() == Severity::Error;
        if self.kept.len() < MOST_KEPT {
            self.kept.push(draft.into_problem(self.source));
        } else {
            self.omitted += 1;
        }
    }

    pub(super) fn has_errors(&self) -> bool {
        self.has_errors
    }

    /// Whether something at a value, or within it, is wrong.
    pub(super) fn has_errors_at(&self, path: &str) -> bool {
        let is_within = |it: &Problem| match it.path.strip_prefix(path) {
            Some(rest) => rest.is_empty() || rest.starts_with(['.', '[']),
            None => false,
        };
        self.kept.iter().any(|it| it.severity == Severity::Error && is_within(it))
    }

    /// The report, its problems in the order of their places.
    pub(super) fn into_report(mut self, name: &str) -> Report {
        self.kept.sort_by_key(|problem| (problem.place.start, problem.place.end));
        Report::new(name, self.source.text(), self.kept, self.omitted, self.has_errors)
    }
}

/// A problem in the making.
pub(super) struct Draft {
    finding: Finding,
    span: Span,
    path: String,
    message: String,
    label: String,
    suggestion: Option<String>,
    help: Option<String>,
    notes: Vec<(Span, String)>,
    section: Option<String>,
}

impl Draft {
    pub(super) fn new(finding: Finding, span: Span, message: String) -> Self {
        Self {
            finding,
            span,
            path: String::new(),
            message,
            label: String::new(),
            suggestion: None,
            help: None,
            notes: Vec::new(),
            section: None,
        }
    }

    /// Which value it is about.
    pub(super) fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// What is said beneath the underlined text, as a rule what was expected there.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// What was most likely meant.
    pub(super) fn suggestion(mut self, suggestion: Option<impl Into<String>>) -> Self {
        self.suggestion = suggestion.map(Into::into);
        self
    }

    /// How to mend it.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Another place that matters.
    pub(super) fn note(mut self, span: Span, label: impl Into<String>) -> Self {
        self.notes.push((span, label.into()));
        self
    }

    /// The section of the reference that describes what was expected, where it is not the finding's own.
    pub(super) fn section(mut self, anchor: &str) -> Self {
        self.section = Some(anchor.to_owned());
        self
    }

    fn into_problem(self, source: &Source<'_>) -> Problem {
        let note = |(span, label)| Note { place: source.place(span), label };
        Problem {
            finding: self.finding,
            severity: self.finding.severity(),
            message: self.message,
            path: self.path,
            place: source.place(self.span),
            label: self.label,
            suggestion: self.suggestion,
            help: self.help,
            notes: self.notes.into_iter().map(note).collect(),
            section: self.section.unwrap_or_else(|| self.finding.anchor()),
        }
    }
}
