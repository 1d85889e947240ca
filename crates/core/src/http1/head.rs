//! A request's head, line by line.

use super::bytes::{HOST, PATH, QUERY, TOKEN, all_are, has_control};
use super::{Limits, Violation};
use memchr::memchr;

/// How the end of a message's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// It has none.
    None,
    /// By its length, more than 0.
    Length(u64),
    /// By its chunks.
    Chunked,
}

/// What a head says that matters for what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Head {
    /// How many bytes it has, up to and with the empty line.
    pub length: usize,
    /// The body.
    pub framing: Framing,
    /// Whether it asks to change the protocol.
    pub switches: bool,
}

/// Reads one head. It remembers how far it has come, so that a head which comes byte by byte costs no more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeadScanner {
    limits: Limits,
    /// Where the line in hand begins.
    line: usize,
    /// Up to where there is no end of that line.
    searched: usize,
    stage: Stage,
    fields: usize,
    facts: Facts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    Start,
    /// After an empty line, which some clients send after a body.
    AfterEmpty,
    Fields,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Facts {
    /// HTTP/1.0.
    old: bool,
    connect: bool,
    host: bool,
    upgrade: bool,
    chunked: bool,
    length: Option<u64>,
}

impl HeadScanner {
    /// At the first byte of a head.
    pub fn new(limits: Limits) -> Self {
        Self { limits, line: 0, searched: 0, stage: Stage::Start, fields: 0, facts: Facts::default() }
    }

    /// Whether nothing has been seen of it.
    pub fn is_at_start(&self) -> bool {
        self.searched == 0
    }

    /// What the head says, `None` as long as it is not complete. `bytes` begin where the head begins, and are more each
    /// time; what follows the head is not looked at.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Option<Head>, Violation> {
        loop {
            let unsearched = bytes.get(self.searched..).unwrap_or_default();
            let Some(place) = memchr(b'\n', unsearched) else {
                self.incomplete(bytes)?;
                self.searched = bytes.len().max(self.searched);
                return Ok(None);
            };
            let end = self.searched + place;
            self.within(end + 1)?;
            let line = bytes.get(self.line..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").ok_or(Violation::BareLf)?;
            (self.line, self.searched) = (end + 1, end + 1);
            if self.line(line)? {
                return self.facts.judge(end + 1).map(Some);
            }
        }
    }

    /// A line whose end has not come: what can be refused of it already.
    fn incomplete(&self, bytes: &[u8]) -> Result<(), Violation> {
        self.within(bytes.len())?;
        // From the last byte that was seen before on: if it was a CR, it ended no line.
        let new = bytes.get(self.searched.saturating_sub(1).max(self.line)..).unwrap_or_default();
        // A CR at the end may be half a line's end.
        if has_control(new.strip_suffix(b"\r").unwrap_or(new)) {
            return Err(Violation::Control);
        }
        Ok(())
    }

    /// Checks the size of the head up to `end`.
    fn within(&self, end: usize) -> Result<(), Violation> {
        if self.stage != Stage::Fields && end > self.limits.line {
            return Err(Violation::LineTooLong);
        }
        if end > self.limits.head {
            return Err(Violation::HeadTooLong);
        }
        Ok(())
    }

    /// Takes a line; whether it is the one that ends the head.
    fn line(&mut self, line: &[u8]) -> Result<bool, Violation> {
        match (self.stage, line.first()) {
            (Stage::Fields, None) => return Ok(true),
            (Stage::Start, None) => self.stage = Stage::AfterEmpty,
            (Stage::AfterEmpty, None) => return Err(Violation::EmptyLines),
            (_, Some(b' ' | b'\t')) => return Err(Violation::Fold),
            (Stage::Fields, Some(_)) => {
                self.fields += 1;
                if self.fields > self.limits.fields {
                    return Err(Violation::TooManyFields);
                }
                self.facts.field(line)?;
            }
            (_, Some(_)) => {
                self.facts.request_line(line)?;
                self.stage = Stage::Fields;
            }
        }
        Ok(false)
    }
}

impl Facts {
    fn request_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        if has_control(line) {
            return Err(Violation::Control);
        }
        let (method, rest) = cut(line, b' ').ok_or(Violation::RequestLine)?;
        let (target, version) = cut(rest, b' ').ok_or(Violation::RequestLine)?;
        if method.is_empty() || target.is_empty() || !all_are(TOKEN, method) {
            return Err(Violation::RequestLine);
        }
        self.old = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Violation::Version);
            }
            _ => return Err(Violation::RequestLine),
        };
        self.connect = method == b"CONNECT";
        is_target(method, target).then_some(()).ok_or(Violation::Target)
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Violation> {
        if has_control(line) {
            return Err(Violation::Control);
        }
        let (name, value) = cut(line, b':').ok_or(Violation::FieldName)?;
        if name.is_empty() || !all_are(TOKEN, name) {
            return Err(Violation::FieldName);
        }
        // Only these lengths can be names that matter here.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(trim(value)),
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.upgrade = true;
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.length(trim(value)),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.coding(trim(value)),
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8]) -> Result<(), Violation> {
        if std::mem::replace(&mut self.host, true) {
            return Err(Violation::TwoHosts);
        }
        (!value.is_empty() && all_are(HOST, value)).then_some(()).ok_or(Violation::Host)
    }

    fn length(&mut self, value: &[u8]) -> Result<(), Violation> {
        let length = decimal(value).ok_or(Violation::ContentLength)?;
        match self.length.replace(length) {
            None => Ok(()),
            Some(_) => Err(Violation::TwoLengths),
        }
    }

    fn coding(&mut self, value: &[u8]) -> Result<(), Violation> {
        if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Violation::TransferEncoding);
        }
        self.chunked = true;
        Ok(())
    }

    /// What holds, now that all fields are known.
    fn judge(&self, length: usize) -> Result<Head, Violation> {
        if self.chunked && self.length.is_some() {
            return Err(Violation::TwoFramings);
        }
        if self.chunked && self.old {
            return Err(Violation::OldTransferEncoding);
        }
        if self.connect && (self.chunked || self.length.is_some_and(|length| length > 0)) {
            return Err(Violation::ConnectBody);
        }
        if !(self.host || self.old) {
            return Err(Violation::NoHost);
        }
        let framing = match self.length {
            _ if self.chunked => Framing::Chunked,
            None | Some(0) => Framing::None,
            Some(length) => Framing::Length(length),
        };
        Ok(Head { length, framing, switches: self.connect || (self.upgrade && !self.old) })
    }
}

/// Whether a target has one of the forms (RFC 9112, 3.2) that the method takes.
fn is_target(method: &[u8], target: &[u8]) -> bool {
    if method == b"CONNECT" {
        // No URI but an authority with its port.
        return all_are(HOST, target) && target.contains(&b':');
    }
    let (path, query) = cut(target, b'?').unwrap_or((target, b""));
    let form = match path.first() {
        Some(b'/') => true,
        Some(b'*') => target.len() == 1 && method == b"OPTIONS",
        _ => path.windows(3).any(|it| it == b"://"),
    };
    form && all_are(PATH, path) && all_are(QUERY, query)
}

/// A number of decimal digits and nothing else, below 2^63.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0, |number: u64, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
    })
}

/// What stands before and after the first `at`.
fn cut(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = memchr(at, bytes)?;
    Some((bytes.get(..place)?, bytes.get(place + 1..)?))
}

/// Without spaces and tabs at both ends.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
