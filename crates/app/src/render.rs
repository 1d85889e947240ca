//! How results look: tables for people, JSON for programs, colour only on a terminal.

use crate::cli::{Color, Format};
use owo_colors::{OwoColorize, Style};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// Prints results to standard output and remarks to standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    format: Format,
    color_out: bool,
    color_err: bool,
}

/// What a cell of a table means, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing in particular.
    Plain,
    /// As it should be.
    Good,
    /// Wants a look.
    Warning,
    /// Not as it should be.
    Bad,
    /// Of less interest.
    Faint,
}

/// One cell of a table.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

/// A plain cell.
pub(crate) fn plain(text: impl Into<String>) -> Cell {
    Cell { text: text.into(), tone: Tone::Plain }
}

/// A cell with a tone.
pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Cell {
    Cell { text: text.into(), tone }
}

impl Cell {
    /// What it says.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl Screen {
    /// Decides on colour once.
    pub(crate) fn new(format: Format, color: Color) -> Self {
        let auto = |terminal: bool| terminal && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
        let (color_out, color_err) = match color {
            Color::Always => (true, true),
            Color::Never => (false, false),
            Color::Auto => (auto(io::stdout().is_terminal()), auto(io::stderr().is_terminal())),
        };
        Self { format, color_out, color_err }
    }

    /// Whether programs read the output.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether a person reads the remarks, so that a line may be rewritten in place.
    pub(crate) fn is_live(&self) -> bool {
        io::stderr().is_terminal() && !self.is_json()
    }

    /// Prints a result: as JSON, or as the table that `table` makes of it.
    pub(crate) fn result<T: Serialize>(
        &self,
        value: &T,
        table: impl FnOnce(&T) -> (Vec<&'static str>, Vec<Vec<Cell>>),
    ) -> io::Result<()> {
        if self.is_json() {
            return self.json(value);
        }
        let (head, rows) = table(value);
        self.table(&head, &rows)
    }

    /// Prints JSON, indented.
    pub(crate) fn json<T: Serialize>(&self, value: &T) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
        self.line(&text)
    }

    /// Prints one line of data.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{text}")
    }

    /// Prints aligned columns under a head.
    pub(crate) fn table(&self, head: &[&str], rows: &[Vec<Cell>]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let widths = widths(head, rows);
        let names: Vec<Cell> = head.iter().map(|name| toned(*name, Tone::Faint)).collect();
        // A table of names and values has no head.
        let head = Some(&names).filter(|_| head.iter().any(|name| !name.is_empty()));
        for row in head.into_iter().chain(rows) {
            writeln!(out, "{}", aligned(row, &widths, self.color_out))?;
        }
        Ok(())
    }

    /// A remark for people, on standard error.
    pub(crate) fn remark(&self, text: &str) {
        if !self.is_json() {
            eprintln!("{text}");
        }
    }

    /// Whether remarks may have colour.
    pub(crate) fn colors_remarks(&self) -> bool {
        self.color_err
    }

    /// A text with a tone, for standard error.
    pub(crate) fn tone(&self, text: &str, tone: Tone) -> String {
        paint(text, tone, self.color_err)
    }

    /// A text with a tone, for standard output.
    pub(crate) fn tone_out(&self, text: &str, tone: Tone) -> String {
        paint(text, tone, self.color_out)
    }
}

fn widths(head: &[&str], rows: &[Vec<Cell>]) -> Vec<usize> {
    let width = |column: usize, name: &str| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count());
        cells.chain([name.chars().count()]).max().unwrap_or(0)
    };
    head.iter().enumerate().map(|(column, name)| width(column, name)).collect()
}

fn aligned(row: &[Cell], widths: &[usize], color: bool) -> String {
    let mut line = String::new();
    for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
        line.push_str(&paint(&cell.text, cell.tone, color));
        if index + 1 < row.len() {
            line.extend(std::iter::repeat_n(' ', width - cell.text.chars().count() + 2));
        }
    }
    line.truncate(line.trim_end().len());
    line
}

fn paint(text: &str, tone: Tone, color: bool) -> String {
    let style = match tone {
        _ if !color => return text.to_owned(),
        Tone::Plain => return text.to_owned(),
        Tone::Good => Style::new().green(),
        Tone::Warning => Style::new().yellow(),
        Tone::Bad => Style::new().red().bold(),
        Tone::Faint => Style::new().dimmed(),
    };
    text.style(style).to_string()
}

/// A span of time as people say it: `850ms`, `4.2s`, `3m12s`, `2h05m`, `3d04h`.
pub(crate) fn span(span: std::time::Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{}ms", span.as_millis()),
        1..10 => format!("{:.1}s", span.as_secs_f64()),
        10..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests;
