//! AES-256-GCM, by aws-lc-rs: payloads under subjects' keys, and those keys under the master key.

use super::{VaultError, Who};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use bytes::Bytes;
use tenon_core::EventId;

/// How an encrypted payload begins: what this is, and the version of its form. Then come nonce and ciphertext.
const MAGIC: &[u8; 6] = b"\x00TNSE\x01";

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;

/// A key that encrypts and decrypts.
#[derive(Debug)]
pub(super) struct Key(LessSafeKey);

impl Key {
    pub(super) fn new(bytes: &[u8]) -> Result<Self, VaultError> {
        let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| VaultError::Cipher)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Encrypts: a nonce, then what it gives. Only who has the key and the same context can read it.
    pub(super) fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        // A key of one subject encrypts far fewer payloads than the 2³² that nonces drawn at random are good for.
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut data = plain.to_vec();
        let assumed = Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_in_place_append_tag(assumed, Aad::from(context), &mut data)
            .map_err(|_| VaultError::Cipher)?;
        Ok([&nonce[..], &data].concat())
    }

    /// Decrypts; none if it was encrypted otherwise.
    pub(super) fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, data) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut data = data.to_vec();
        let assumed = Nonce::assume_unique_for_key(*nonce);
        let length = self.0.open_in_place(assumed, Aad::from(context), &mut data).ok()?.len();
        data.truncate(length);
        Some(data)
    }
}

/// A payload as it lies in the log.
#[derive(Debug)]
pub(super) struct Sealed(Bytes);

impl Sealed {
    /// Encrypts a payload. It is bound to its event: in another one's place it cannot be read.
    pub(super) fn seal(key: &Key, id: &EventId, data: &[u8]) -> Result<Bytes, VaultError> {
        let sealed = key.seal(id.as_bytes(), data)?;
        Ok([&MAGIC[..], &sealed].concat().into())
    }

    /// The payload of an event, if it is encrypted.
    pub(super) fn read(data: &Bytes) -> Option<Self> {
        data.starts_with(MAGIC).then(|| Self(data.slice(MAGIC.len()..)))
    }

    /// Decrypts it; none if it was encrypted under another key.
    pub(super) fn open(&self, key: &Key, id: &EventId) -> Option<Bytes> {
        key.open(id.as_bytes(), &self.0).map(Bytes::from)
    }
}

/// Random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], VaultError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| VaultError::Cipher)?;
    Ok(bytes)
}

/// What a subject's files are called: nobody reads its name from a listing.
pub(super) fn file_name(who: &Who) -> String {
    use std::fmt::Write as _;
    let mut name = String::with_capacity(64);
    for byte in hashed("file", who) {
        // Writing to a text never fails.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// An id that follows from the subject: a UUID of version 8 (RFC 9562, 5.8).
pub(super) fn name_based_id(who: &Who) -> [u8; 16] {
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(hashed("told", who)) {
        *to = from;
    }
    id[6] = id[6] & 0x0f | 0x80;
    id[8] = id[8] & 0x3f | 0x80;
    id
}

fn hashed(purpose: &str, who: &Who) -> Vec<u8> {
    let text = format!("{purpose}\n{}\n{}", who.namespace, who.subject);
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}
