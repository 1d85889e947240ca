//! The PROXY protocol, version 2 (HAProxy's `doc/proxy-protocol.txt`): what a balancer in front says of whom a connection
//! comes from. Whoever may connect may say anything, so it is for listeners that only such a balancer reaches.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The most bytes that may follow the fixed part: addresses, and extensions which are not looked at.
const MOST: usize = 4 * 1024;
const FIXED: usize = 16;

/// What a connection began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// How many bytes it has.
    pub length: usize,
    /// Whom the connection comes from; `None` if the balancer speaks for itself, or of something else than TCP.
    pub source: Option<SocketAddr>,
}

/// It is no such header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// Something else.
    #[error("the connection does not begin with the PROXY protocol, version 2")]
    Signature,
    /// A version or command that is unknown.
    #[error("the version or the command is unknown")]
    Command,
    /// Too short for its addresses, or too long.
    #[error("the length does not fit")]
    Length,
}

/// Reads the header that a connection begins with; `None` if more is needed. What follows it is not looked at.
///
/// # Errors
/// [`Malformed`], as soon as it shows.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let common = bytes.len().min(SIGNATURE.len());
    if bytes.get(..common) != SIGNATURE.get(..common) {
        return Err(Malformed::Signature);
    }
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else { return Ok(None) };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MOST {
        return Err(Malformed::Length);
    }
    let Some(body) = rest.get(..length) else { return Ok(None) };
    let source = match (command, family) {
        // LOCAL: the balancer's own connection, to see whether this side lives.
        (0x20, _) => None,
        (0x21, 0x11) => Some(v4(body).ok_or(Malformed::Length)?),
        (0x21, 0x21) => Some(v6(body).ok_or(Malformed::Length)?),
        // Not TCP over IP, which is nothing that a request could be said to come from.
        (0x21, _) => None,
        _ => return Err(Malformed::Command),
    };
    Ok(Some(Header { length: FIXED + length, source }))
}

/// How many bytes there must be at least besides these, which [`parse`] finds incomplete, so that none is read which
/// follows the header.
pub fn missing(bytes: &[u8]) -> usize {
    let whole = bytes
        .first_chunk::<FIXED>()
        .map_or(FIXED, |[.., high, low]| FIXED + usize::from(u16::from_be_bytes([*high, *low])));
    whole.saturating_sub(bytes.len()).max(1)
}

/// Source and destination, then their ports.
fn v4(body: &[u8]) -> Option<SocketAddr> {
    let body: &[u8; 12] = body.first_chunk()?;
    let [a, b, c, d, _, _, _, _, high, low, ..] = *body;
    Some((IpAddr::V4(Ipv4Addr::new(a, b, c, d)), u16::from_be_bytes([high, low])).into())
}

fn v6(body: &[u8]) -> Option<SocketAddr> {
    let body: &[u8; 36] = body.first_chunk()?;
    let source: &[u8; 16] = body.first_chunk()?;
    let [.., high, low, _, _] = *body;
    Some((IpAddr::V6(Ipv6Addr::from(*source)), u16::from_be_bytes([high, low])).into())
}

#[cfg(test)]
mod tests;
