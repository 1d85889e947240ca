//! Which protocol a client speaks, by its first bytes.
//!
//! A client that waits for the other side to speak first (as some database protocols have it) is *silent*: inside a
//! tunnel its bytes are carried as they are.

use std::io;
use std::time::Duration;
use tenon_core::detect::{PREFACE, Protocol, judge};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What the first bytes show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detected {
    /// A request line of HTTP/1.
    Http1,
    /// The preface of HTTP/2 (RFC 9113, 3.4).
    Http2,
    /// Something else.
    Other,
    /// Nothing came in time, or less than shows what it is.
    Silent,
    /// The client went away without a word.
    Closed,
}

/// Reads until the protocol shows, and answers with what was read.
///
/// # Errors
/// What broke the connection.
pub(crate) async fn detect<I: AsyncRead + Unpin>(
    io: &mut I,
    patience: Duration,
) -> io::Result<(Detected, Vec<u8>)> {
    // Enough for the preface; an HTTP/1 request shows earlier, and its rest stays in the socket.
    let mut read = Vec::with_capacity(PREFACE.len());
    let reading = async {
        loop {
            if let Some(protocol) = judge(&read) {
                return Ok(protocol.into());
            }
            let more = PREFACE.len().saturating_sub(read.len()).max(1) as u64;
            if (&mut *io).take(more).read_buf(&mut read).await? == 0 {
                return Ok(if read.is_empty() { Detected::Closed } else { Detected::Other });
            }
        }
    };
    match tokio::time::timeout(patience, reading).await {
        Ok(detected) => detected.map(|detected| (detected, read)),
        Err(_) => Ok((Detected::Silent, read)),
    }
}

impl From<Protocol> for Detected {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Http1 => Self::Http1,
            Protocol::Http2 => Self::Http2,
            Protocol::Other => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests;
