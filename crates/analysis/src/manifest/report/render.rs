//! A report for people: each problem with the text that it is about.
//!
//! [`Report`] is a [`miette::Diagnostic`] whose problems are related diagnostics, so that any of miette's
//! handlers prints it; [`Report::to_text`] does so in one fixed form.

use super::{Place, Problem, Report, Severity};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};
use std::fmt;

/// How a report is to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether to use ANSI colours.
    pub color: bool,
    /// Whether to draw with characters beyond ASCII.
    pub unicode: bool,
    /// The width of the page in columns.
    pub width: usize,
}

impl Report {
    /// The whole report as text. Empty if nothing was found.
    pub fn to_text(&self, style: Style) -> String {
        if self.is_clean() {
            return String::new();
        }
        let handler = GraphicalReportHandler::new_themed(style.theme())
            .with_width(style.width.max(40))
            .with_context_lines(1)
            .with_links(false);
        let mut text = String::new();
        // Writing to a string does not fail, and places lie within the text; should miette object all the
        // same, what it wrote until then is there.
        let _ = handler.render_report(&mut text, self);
        text
    }
}

impl Problem {
    /// Where it is and what was expected there, for a line that is too long to be shown.
    fn place_in_words(&self) -> String {
        let Place { line, column, .. } = self.place;
        format!("line {line}, column {column}: {}", self.label)
    }
}

/// The most bytes of lines that are shown around a problem.
const MOST_AROUND: usize = 4_000;

impl Style {
    fn theme(self) -> GraphicalTheme {
        match (self.unicode, self.color) {
            (true, true) => GraphicalTheme::unicode(),
            (true, false) => GraphicalTheme::unicode_nocolor(),
            (false, true) => {
                GraphicalTheme { characters: miette::ThemeCharacters::ascii(), ..GraphicalTheme::unicode() }
            }
            (false, false) => GraphicalTheme::none(),
        }
    }
}

/// One line: how many errors and warnings.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |count: usize, what: &str| match count {
            0 => None,
            1 => Some(format!("1 {what}")),
            _ => Some(format!("{count} {what}s")),
        };
        let counts = [
            counted(self.count(Severity::Error), "error"),
            counted(self.count(Severity::Warning), "warning"),
            counted(self.omitted, "further problem"),
        ];
        let counts: Vec<String> = counts.into_iter().flatten().collect();
        if counts.is_empty() {
            return write!(f, "{} has no problems", self.name);
        }
        write!(f, "{} has {}", self.name, counts.join(", "))
    }
}

impl std::error::Error for Report {}

impl Diagnostic for Report {
    fn severity(&self) -> Option<miette::Severity> {
        Some(if self.has_errors() { miette::Severity::Error } else { miette::Severity::Warning })
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.problems.iter().map(|problem| problem as &dyn Diagnostic)))
    }
}

/// The manifest's text under its name.
impl SourceCode for Report {
    fn read_span<'a>(
        &'a self,
        span: &miette::SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        let contents = self.text.read_span(span, before, after)?;
        // Lines around may be of any length; the problem's own is short.
        let contents =
            if contents.data().len() > MOST_AROUND { self.text.read_span(span, 0, 0)? } else { contents };
        Ok(Box::new(miette::MietteSpanContents::new_named(
            self.name.clone(),
            contents.data(),
            *contents.span(),
            contents.line(),
            contents.column(),
            contents.line_count(),
        )))
    }
}

/// What is wrong, in one sentence.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.finding.code()))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let meant = self.suggestion.as_ref().map(|suggestion| format!("did you mean `{suggestion}`?"));
        let place = (!self.place.is_drawable).then(|| self.place_in_words());
        let parts: Vec<String> = [place, meant, self.help.clone()].into_iter().flatten().collect();
        if parts.is_empty() { None } else { Some(Box::new(parts.join("\n"))) }
    }

    fn url<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.documentation()))
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if !self.place.is_drawable {
            return None;
        }
        let label = (!self.label.is_empty()).then(|| self.label.clone());
        let own = LabeledSpan::new_primary_with_span(label, self.place.start..self.place.end);
        let others = self.notes.iter().filter(|note| note.place.is_drawable).map(|note| {
            LabeledSpan::new_with_span(Some(note.label.clone()), note.place.start..note.place.end)
        });
        Some(Box::new(std::iter::once(own).chain(others)))
    }
}
