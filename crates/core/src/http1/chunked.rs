//! A body in chunks (RFC 9112, 7.1).

use super::bytes::is_control;
use super::{Limits, Violation};
use memchr::memchr2;

/// The most hexadecimal digits of a chunk's size.
const DIGITS: u8 = 15;
/// The most bytes of a chunk's extension, which nobody uses.
const EXTENSION: u16 = 1024;
/// The most bytes of all trailers.
const TRAILERS: usize = 16 * 1024;

/// Follows one body in chunks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Chunked {
    state: State,
    fields: usize,
    bytes: usize,
    most_fields: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    Size {
        size: u64,
        digits: u8,
    },
    Extension {
        size: u64,
        length: u16,
    },
    SizeEnd {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// Before a trailer, or the end.
    Line,
    Name,
    Value,
    ValueLf,
    EndLf,
    Complete,
}

impl Chunked {
    /// At the first byte of a body.
    pub fn new(limits: Limits) -> Self {
        let state = State::Size { size: 0, digits: 0 };
        Self { state, fields: 0, bytes: 0, most_fields: limits.fields }
    }

    /// Whether the body's last byte has passed.
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// How many of these bytes belong to the body: all of them, unless it ends before.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.is_complete() {
                break;
            }
            at += self.advance(rest)?;
        }
        Ok(at)
    }

    /// Takes one byte, or several where they are all the same.
    fn advance(&mut self, rest: &[u8]) -> Result<usize, Violation> {
        let Some(byte) = rest.first().copied() else { return Ok(0) };
        match self.state {
            State::Data { left } => return Ok(self.data(left, rest.len())),
            State::Value => return self.value(rest),
            state => self.state = self.after(state, byte)?,
        }
        Ok(1)
    }

    fn data(&mut self, left: u64, available: usize) -> usize {
        let count = available.min(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - count as u64;
        self.state = if left == 0 { State::DataCr } else { State::Data { left } };
        count
    }

    /// A trailer's value, up to its end.
    fn value(&mut self, rest: &[u8]) -> Result<usize, Violation> {
        let end = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let value = rest.get(..end).unwrap_or_default();
        if value.iter().any(|byte| is_control(*byte)) {
            return Err(Violation::Trailers);
        }
        self.count(end)?;
        match rest.get(end) {
            None => Ok(end),
            Some(b'\r') => {
                self.state = State::ValueLf;
                Ok(end + 1)
            }
            Some(_) => Err(Violation::Trailers),
        }
    }

    fn after(&mut self, state: State, byte: u8) -> Result<State, Violation> {
        let digit = char::from(byte).to_digit(16).map(u64::from);
        Ok(match (state, byte) {
            (State::Size { size, digits }, _) if digits < DIGITS && digit.is_some() => {
                State::Size { size: size * 16 + digit.unwrap_or_default(), digits: digits + 1 }
            }
            (State::Size { size, digits: 1.. }, b';') => State::Extension { size, length: 0 },
            (State::Size { size, digits: 1.. } | State::Extension { size, .. }, b'\r') => {
                State::SizeEnd { size }
            }
            (State::Extension { size, length }, _) if length < EXTENSION && !is_control(byte) => {
                State::Extension { size, length: length + 1 }
            }
            (State::SizeEnd { size: 0 }, b'\n') => State::Line,
            (State::SizeEnd { size }, b'\n') => State::Data { left: size },
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { size: 0, digits: 0 },
            (State::Line, b'\r') => State::EndLf,
            (State::EndLf, b'\n') => State::Complete,
            (State::Line | State::Name, _) if super::bytes::all_are(super::bytes::TOKEN, &[byte]) => {
                self.fields += usize::from(state == State::Line);
                self.count(1)?;
                State::Name
            }
            (State::Name, b':') => State::Value,
            (State::ValueLf, b'\n') => State::Line,
            (State::Size { .. } | State::SizeEnd { .. }, _) => return Err(Violation::ChunkSize),
            (State::Extension { .. }, _) => return Err(Violation::ChunkExtension),
            (State::DataCr | State::DataLf, _) => return Err(Violation::ChunkEnd),
            _ => return Err(Violation::Trailers),
        })
    }

    fn count(&mut self, bytes: usize) -> Result<(), Violation> {
        self.bytes += bytes;
        let fits = self.bytes <= TRAILERS && self.fields <= self.most_fields;
        fits.then_some(()).ok_or(Violation::Trailers)
    }
}
