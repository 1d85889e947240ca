//! Where a process listens: a host and a port.

use crate::id::InvalidName;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// `host:port`, the host a name or an IP address (IPv6 in brackets). Names are resolved by whoever connects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    host: Arc<str>,
    port: u16,
}

impl Address {
    /// An address from its parts.
    ///
    /// # Errors
    /// [`InvalidName`] if the host is neither an IP address nor a host name, or the port is 0.
    pub fn new(host: &str, port: u16) -> Result<Self, InvalidName> {
        let invalid = |problem| InvalidName::new("address", &format!("{host}:{port}"), problem);
        if port == 0 {
            return Err(invalid("has port 0; expected 1 to 65535"));
        }
        if host.parse::<IpAddr>().is_err() && !is_host_name(host) {
            return Err(invalid("has a host that is neither an IP address nor a host name"));
        }
        Ok(Self { host: host.into(), port })
    }

    /// The host, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The socket address, if the host is an IP address.
    pub fn socket(&self) -> Option<SocketAddr> {
        self.host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, self.port))
    }
}

impl From<SocketAddr> for Address {
    fn from(socket: SocketAddr) -> Self {
        Self { host: socket.ip().to_string().into(), port: socket.port() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl std::str::FromStr for Address {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let expected = || InvalidName::new("address", text, "is not of the form host:port");
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if bracketed.is_none() && host.contains(':') {
            return Err(InvalidName::new("address", text, "has an IPv6 host without brackets"));
        }
        Self::new(bracketed.unwrap_or(host), port.parse().map_err(|_| expected())?)
    }
}

/// Host names as RFC 1123 has them: dotted labels of letters, digits and '-'.
fn is_host_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.len() <= 253 && host.split('.').all(label)
}

#[cfg(test)]
mod tests;
