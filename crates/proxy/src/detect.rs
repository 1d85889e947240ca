//! Which protocol a client speaks, by its first bytes.
//!
//! A client that waits for the other side to speak first (as some database protocols have it) is *silent*: inside a
//! tunnel its bytes are carried as they are.

use std::io;
use std::time::Duration;
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

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest method that is taken for HTTP/1.
const MAX_METHOD: usize = 20;

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
            if let Some(detected) = judge(&read) {
                return Ok(detected);
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

/// What these bytes show; `None` if more are needed.
fn judge(read: &[u8]) -> Option<Detected> {
    if read.starts_with(PREFACE) {
        return Some(Detected::Http2);
    }
    if PREFACE.starts_with(read) {
        return None;
    }
    let method = read.iter().take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-').count();
    let after = |place: usize| read.get(method + place).copied();
    match (after(0), after(1)) {
        _ if method == 0 || method > MAX_METHOD => Some(Detected::Other),
        (None, _) | (Some(b' '), None) => None,
        // A path, `*`, or an absolute URI; `CONNECT` inside a tunnel is refused by whoever handles it.
        (Some(b' '), Some(b'/' | b'*' | b'h' | b'H')) => Some(Detected::Http1),
        (Some(b' '), Some(_)) if read.starts_with(b"CONNECT ") => Some(Detected::Http1),
        _ => Some(Detected::Other),
    }
}

#[cfg(test)]
mod tests;
