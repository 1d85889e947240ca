//! Which protocol a client speaks, by its first bytes.

/// What the first bytes show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// A request line of HTTP/1.
    Http1,
    /// The preface of HTTP/2 (RFC 9113, 3.4).
    Http2,
    /// Something else.
    Other,
}

/// What every connection of HTTP/2 begins with. It shows within so many bytes what a connection speaks, mostly earlier.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest method that is taken for HTTP/1.
const MAX_METHOD: usize = 20;

/// What these bytes show; `None` if more are needed. More bytes never show anything else.
pub fn judge(read: &[u8]) -> Option<Protocol> {
    if read.starts_with(PREFACE) {
        return Some(Protocol::Http2);
    }
    if PREFACE.starts_with(read) {
        return None;
    }
    let method = read.iter().take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-').count();
    let after = |place: usize| read.get(method + place).copied();
    match (after(0), after(1)) {
        _ if method == 0 || method > MAX_METHOD => Some(Protocol::Other),
        (None, _) | (Some(b' '), None) => None,
        // A path, `*`, or an absolute URI; `CONNECT` inside a tunnel is refused by whoever handles it.
        (Some(b' '), Some(b'/' | b'*' | b'h' | b'H')) => Some(Protocol::Http1),
        (Some(b' '), Some(_)) if read.starts_with(b"CONNECT ") => Some(Protocol::Http1),
        _ => Some(Protocol::Other),
    }
}

#[cfg(test)]
mod tests;
