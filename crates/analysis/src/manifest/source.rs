//! The text of a manifest, and places in it.

use super::report::Place;

/// A part of the text, in bytes; begins and ends between characters.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The text with what is needed to find places in it.
pub(super) struct Source<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    /// Where each character begins, if some have more than one byte.
    characters: Option<Vec<usize>>,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(index, _)| index + 1);
        let characters = || text.char_indices().map(|(index, _)| index).collect();
        Self {
            text,
            lines: std::iter::once(0).chain(after_breaks).collect(),
            characters: (!text.is_ascii()).then(characters),
        }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// The span between two characters that are given by number.
    pub(super) fn span(&self, first: usize, end: usize) -> Span {
        let start = self.byte(first);
        Span { start, end: self.byte(end).max(start) }
    }

    /// The part of a span that stands on its first line, without space at its end; of a block of many lines
    /// it is the first that tells where one is.
    pub(super) fn first_line(&self, span: Span) -> Span {
        let line = self.slice(span).lines().next().unwrap_or_default();
        Span { start: span.start, end: span.start + line.trim_end().len() }
    }

    /// A place as reports state it.
    pub(super) fn place(&self, span: Span) -> Place {
        let line = self.lines.partition_point(|start| *start <= span.start).max(1);
        let line_start = self.lines.get(line - 1).copied().unwrap_or_default();
        let before = self.slice(Span { start: line_start, end: span.start });
        Place {
            start: span.start,
            end: span.end,
            line,
            column: before.chars().count() + 1,
            text: shortened(self.slice(span)),
            is_drawable: self.line_end(line) - line_start <= LONGEST_DRAWN,
        }
    }

    /// Where a line ends, given by its number from 1.
    fn line_end(&self, line: usize) -> usize {
        self.lines.get(line).copied().unwrap_or(self.text.len())
    }

    fn slice(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    fn byte(&self, character: usize) -> usize {
        match &self.characters {
            Some(starts) => starts.get(character).copied().unwrap_or(self.text.len()),
            None => character.min(self.text.len()),
        }
    }
}

/// The longest line, in bytes, that a report shows with the problem marked in it.
const LONGEST_DRAWN: usize = 1_000;

/// The most characters of the offending text that a report repeats.
const MOST_REPEATED: usize = 80;

/// A text as messages quote it: at most 80 characters, without control characters.
pub(crate) fn shortened(text: &str) -> String {
    let plain = |character: char| if character.is_control() { ' ' } else { character };
    let mut short: String = text.chars().take(MOST_REPEATED).map(plain).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
