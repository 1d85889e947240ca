//! HTTP/1.1 as it is framed (RFC 9112), followed byte by byte and without mercy: what two programs could read in two ways
//! is refused, so that nobody smuggles a request past whoever looks at the first.
//!
//! A [`Scanner`] follows what a client sends on one connection: head, body, next head. It copies nothing and understands
//! no more than where messages begin and end, so it costs next to nothing; whoever parses the message sees only what has
//! passed. Bodies are skipped in bulk.
//!
//! Left out on purpose: what the fields mean, and responses, whose framing depends on the request.

mod bytes;
mod chunked;
mod head;
mod violation;

pub use chunked::Chunked;
pub use head::{Framing, Head, HeadScanner};
pub use violation::Violation;

/// How large a head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Bytes of a head, the request line included.
    pub head: usize,
    /// Bytes of a request line.
    pub line: usize,
    /// Fields.
    pub fields: usize,
}

impl Default for Limits {
    /// 64 KiB, of which 16 KiB for the request line, and 100 fields.
    fn default() -> Self {
        Self { head: 64 * 1024, line: 16 * 1024, fields: 100 }
    }
}

/// What the next bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A head of this many bytes, complete and in order.
    Head(usize),
    /// This many bytes of a body, perhaps its end.
    Body(usize),
    /// A head that is not complete: to be shown again, from its first byte, when more of it has come.
    More,
    /// Whether they are HTTP depends on the answer to the request before: see [`Scanner::answered`].
    Wait,
    /// All of them are another protocol's.
    Other,
}

/// Follows what a client sends on one connection. After a [`Violation`] there is no telling what any byte means, so
/// it answers with the same one for ever.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scanner {
    limits: Limits,
    state: State,
    /// Whether the message in hand asks to change the protocol.
    switching: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum State {
    Head(HeadScanner),
    /// So many bytes are left of the body.
    Length(u64),
    Chunked(Chunked),
    Waiting,
    Other,
    Refused(Violation),
}

impl Scanner {
    /// At the beginning of a connection.
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: State::Head(HeadScanner::new(limits)), switching: false }
    }

    /// What these bytes, which follow those that have passed, begin with. Passed are those that a [`Step`] counts.
    ///
    /// # Errors
    /// What is wrong with them. What has passed before is in order.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Step, Violation> {
        let step = self.step(bytes);
        if let Err(violation) = step {
            self.state = State::Refused(violation);
        }
        step
    }

    fn step(&mut self, bytes: &[u8]) -> Result<Step, Violation> {
        match &mut self.state {
            State::Head(head) => {
                let Some(head) = head.scan(bytes)? else { return Ok(Step::More) };
                self.switching = head.switches;
                self.state = match head.framing {
                    Framing::None => self.after_message(),
                    Framing::Length(length) => State::Length(length),
                    Framing::Chunked => State::Chunked(Chunked::new(self.limits)),
                };
                Ok(Step::Head(head.length))
            }
            State::Length(left) => {
                let count = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= count as u64;
                if *left == 0 {
                    self.state = self.after_message();
                }
                Ok(Step::Body(count))
            }
            State::Chunked(chunked) => {
                let count = chunked.scan(bytes)?;
                if chunked.is_complete() {
                    self.state = self.after_message();
                }
                Ok(Step::Body(count))
            }
            State::Waiting => Ok(Step::Wait),
            State::Other => Ok(Step::Other),
            State::Refused(violation) => Err(*violation),
        }
    }

    fn after_message(&self) -> State {
        if self.switching { State::Waiting } else { State::Head(HeadScanner::new(self.limits)) }
    }

    /// Whether the request in hand asks to change the protocol (`CONNECT`, `Upgrade`), so that the answer decides what
    /// follows it.
    pub fn is_switching(&self) -> bool {
        self.switching
    }

    /// Whether what comes next is a head of which nothing has been seen.
    pub fn is_between(&self) -> bool {
        matches!(&self.state, State::Head(head) if head.is_at_start())
    }

    /// The answer to a request that [asked to change the protocol](Self::is_switching): whether it changes.
    pub fn answered(&mut self, switched: bool) {
        if !self.switching {
            return;
        }
        self.switching = false;
        match self.state {
            _ if switched => self.state = State::Other,
            State::Waiting => self.state = self.after_message(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
