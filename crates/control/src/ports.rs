//! Ports for applications and sidecars: from 20000 to 29999, below the range that Linux gives to outgoing
//! connections, so that whoever is restarted finds its own still free.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;

/// The ports that are given out.
pub(crate) const RANGE: RangeInclusive<u16> = 20_000..=29_999;

/// Gives out ports in turn, so that one which was just given back is not given out again at once.
#[derive(Debug)]
pub(crate) struct Ports {
    next: u16,
}

impl Ports {
    /// Begins anywhere in the range, so that two systems on one machine seldom try the same port.
    pub(crate) fn starting_anywhere() -> Self {
        Self { next: fastrand::u16(RANGE) }
    }

    /// `N` different ports that are not in `taken` and that nobody listens on at the moment. Somebody else
    /// may take one before it is used: then the process fails to start, and the next try gets others.
    ///
    /// # Errors
    /// When the whole range has been tried.
    pub(crate) fn allocate<const N: usize>(&mut self, taken: &BTreeSet<u16>) -> io::Result<[u16; N]> {
        let mut found = Vec::with_capacity(N);
        for _ in RANGE {
            if found.len() == N {
                break;
            }
            let port = self.advance();
            if !taken.contains(&port) && is_free(port) {
                found.push(port);
            }
        }
        found
            .try_into()
            .map_err(|_| io::Error::new(io::ErrorKind::AddrInUse, "no free port in 20000 to 29999"))
    }

    fn advance(&mut self) -> u16 {
        let port = self.next;
        self.next = if port >= *RANGE.end() { *RANGE.start() } else { port + 1 };
        port
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests;
