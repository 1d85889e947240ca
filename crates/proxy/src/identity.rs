//! Who calls: an application shows its sidecar the secret that it was started with, as its proxy password. Another
//! process on the machine, which can reach the listener just as well, has no such secret and is not taken for it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use tenon_core::InstanceId;
use tenon_core::snapshot::Sidecar;

/// The most bytes that a `Proxy-Authorization` value may have.
const MAX_BYTES: usize = 512;

/// What one connection has shown. Clients repeat their credentials with each request; the same ones, checked against
/// the same digest, need not be hashed again.
#[derive(Debug, Default)]
pub(crate) struct Shown(RefCell<Option<(HeaderValue, [u8; 32])>>);

impl Shown {
    /// Whether `value` (of `Proxy-Authorization`) proves that the caller is the application of this instance.
    pub(crate) fn proves(
        &self,
        value: Option<&HeaderValue>,
        instance: &InstanceId,
        sidecar: &Sidecar,
    ) -> bool {
        let Some(value) = value else { return false };
        let expected = sidecar.credential_sha256;
        if self.0.borrow().as_ref().is_some_and(|(known, digest)| known == value && *digest == expected) {
            return true;
        }
        let proven = is_credential_of(value.as_bytes(), instance, &expected);
        if proven {
            *self.0.borrow_mut() = Some((value.clone(), expected));
        }
        proven
    }
}

/// Whether the value is `Basic` with the instance as user and the secret of this digest as password (RFC 7617).
fn is_credential_of(value: &[u8], instance: &InstanceId, secret_sha256: &[u8; 32]) -> bool {
    let Some(encoded) = basic(value) else { return false };
    let mut buffer = [0; MAX_BYTES];
    let Ok(length) = STANDARD.decode_slice(encoded, &mut buffer) else { return false };
    let decoded = buffer.get(..length).unwrap_or_default();
    let Some(colon) = decoded.iter().position(|byte| *byte == b':') else { return false };
    let (user, secret) = decoded.split_at(colon);
    let digest: [u8; 32] = Sha256::digest(secret.get(1..).unwrap_or_default()).into();
    user == instance.as_str().as_bytes() && equal(&digest, secret_sha256)
}

fn basic(value: &[u8]) -> Option<&[u8]> {
    if value.len() > MAX_BYTES {
        return None;
    }
    let (scheme, encoded) = value.split_at_checked(6)?;
    scheme.eq_ignore_ascii_case(b"basic ").then(|| encoded.trim_ascii())
}

/// Compares in a time that does not depend on where they differ.
fn equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b))) == 0
}

#[cfg(test)]
mod tests;
