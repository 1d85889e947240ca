//! Server-sent events (WHATWG HTML, 9.2.6 "Interpreting an event stream"), from chunks of bytes.
//!
//! Left out on purpose: `retry` fields (whoever calls decides when to come back).

use std::collections::VecDeque;

/// The most bytes that one event may have.
const MAX_EVENT: usize = 16 << 20;

/// One event as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Raw {
    /// Its `event` field; empty if it has none.
    pub(super) name: String,
    /// The last `id` field of the stream so far; empty if there was none.
    pub(super) id: String,
    /// Its `data` fields, a line each.
    pub(super) data: String,
}

/// An event is longer than [`MAX_EVENT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {MAX_EVENT} bytes")]
pub(super) struct TooLong;

/// Reads chunks as they come, wherever they are cut.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    began: bool,
    after_carriage_return: bool,
    id: String,
    name: String,
    data: String,
    ready: VecDeque<Raw>,
}

impl Parser {
    /// Takes a chunk; the events that it completes are then to be had from [`Parser::next`].
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), TooLong> {
        let mut rest = chunk;
        while let Some((first, others)) = rest.split_first() {
            if std::mem::take(&mut self.after_carriage_return) && *first == b'\n' {
                rest = others;
                continue;
            }
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
            if self.line.len() + self.data.len() + piece.len() > MAX_EVENT {
                return Err(TooLong);
            }
            self.line.extend_from_slice(piece);
            let Some((ending, after)) = after.split_first() else { break };
            self.after_carriage_return = *ending == b'\r';
            rest = after;
            self.end_line();
        }
        Ok(())
    }

    /// The next event that is complete.
    pub(super) fn next(&mut self) -> Option<Raw> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let mut line = String::from_utf8_lossy(&line);
        if !std::mem::replace(&mut self.began, true)
            && let Some(rest) = line.strip_prefix('\u{feff}')
        {
            line = rest.to_owned().into();
        }
        if line.is_empty() {
            self.end_event();
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        self.field(field, value.strip_prefix(' ').unwrap_or(value));
    }

    fn field(&mut self, field: &str, value: &str) {
        match field {
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "event" => value.clone_into(&mut self.name),
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            // A comment, `retry`, or something of a later version.
            _ => {}
        }
    }

    fn end_event(&mut self) {
        let name = std::mem::take(&mut self.name);
        let mut data = std::mem::take(&mut self.data);
        // Each field added a line feed; the last is not part of the data. Without any there is no event.
        if data.pop().is_some() {
            self.ready.push_back(Raw { name, id: self.id.clone(), data });
        }
    }
}

#[cfg(test)]
mod tests;
