//! Tickets, by which a client that comes again is spared most of the handshake. They are good for minutes, so that a
//! certificate that has ended is soon looked at again, and their keys live in this process only.

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;
use std::sync::Arc;

/// Seconds.
const LIFETIME: u32 = 300;

#[derive(Debug)]
struct ShortLived(Arc<dyn ProducesTickets>);

/// Tickets under a key of their own.
pub(super) fn new() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    Ok(Arc::new(ShortLived(Ticketer::new()?)))
}

impl ProducesTickets for ShortLived {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime().min(LIFETIME)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(cipher)
    }
}
