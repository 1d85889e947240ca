//! The keys of a system: the API's token, and the key that instance secrets are derived from.
//!
//! Life cycle: [`Keys::open`] reads `.tenon/keys/`, making what is missing; from there on the keys do not
//! change while a server runs. An instance's secret is HMAC-SHA-256 (RFC 2104) of its id under the mesh key,
//! so that nothing secret is ever in the log and a restarted server derives the same secrets.
//!
//! Left out on purpose: rotation; certificates, whose authority keeps its files in the same folder (`ca`).

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tenon_core::InstanceId;

/// The file of the API's token, within the folder of the keys.
pub const API_TOKEN_FILE: &str = "api-token";

/// The file of the mesh key, within the folder of the keys.
pub const MESH_KEY_FILE: &str = "mesh.key";

/// Bytes of randomness in each key.
const KEY_BYTES: usize = 32;

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file or the folder cannot be read or made.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Other users of the machine could read a key.
    #[error("{path} has mode {mode:03o}, so that other users can read it; run: chmod 600 {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file holds something else.
    #[error("{path} does not hold 64 hexadecimal digits; remove it and a new key will be made")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// What a server knows that nobody else may.
#[derive(Clone)]
pub struct Keys {
    folder: PathBuf,
    api_token: String,
    mesh: [u8; KEY_BYTES],
}

impl Keys {
    /// Reads the keys in `folder`; makes the folder (mode 0700) and keys (mode 0600) that are missing. A key
    /// that was made is on disk when this returns.
    ///
    /// # Errors
    /// [`KeyError`] if a file cannot be read or made, is malformed, or other users could read it.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        make_folder(folder).map_err(|source| KeyError::Io { path: folder.to_owned(), source })?;
        let api_token = open_key(&folder.join(API_TOKEN_FILE))?;
        let mesh = open_key(&folder.join(MESH_KEY_FILE))?;
        Ok(Self { folder: folder.to_owned(), api_token: to_hex(&api_token), mesh })
    }

    /// Where the keys are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The token that permits everything: 64 hexadecimal digits.
    pub fn api_token(&self) -> &str {
        &self.api_token
    }

    /// Whether `token` is the API's, in a time that does not depend on where it differs.
    pub fn is_api_token(&self, token: &str) -> bool {
        same_digest(&sha256(token.as_bytes()), &sha256(self.api_token.as_bytes()))
    }

    /// The secret of an instance: its password at its sidecar and its token at the API.
    pub fn instance_secret(&self, instance: &InstanceId) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.mesh) else {
            unreachable!("HMAC takes a key of any length (RFC 2104, section 3)")
        };
        mac.update(instance.as_str().as_bytes());
        to_hex(&mac.finalize().into_bytes())
    }

    /// SHA-256 of an instance's secret: what a data plane needs in order to check it.
    pub fn instance_credential(&self, instance: &InstanceId) -> [u8; 32] {
        sha256(self.instance_secret(instance).as_bytes())
    }
}

/// Shows no key.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// SHA-256 (FIPS 180-4).
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Compares all bytes whatever they are. The digests of what a caller sends are compared, not the texts, so
/// that not even a length leaks.
fn same_digest(left: &[u8; 32], right: &[u8; 32]) -> bool {
    let difference = left.iter().zip(right).fold(0, |all, (left, right)| all | (left ^ right));
    std::hint::black_box(difference) == 0
}

fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() { Ok(()) } else { DirBuilder::new().recursive(true).mode(0o700).create(folder) }
}

fn open_key(path: &Path) -> Result<[u8; KEY_BYTES], KeyError> {
    let io_error = |source| KeyError::Io { path: path.to_owned(), source };
    match fs::metadata(path) {
        Ok(metadata) => read_key(path, metadata.permissions().mode() & 0o777),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_key(path).map_err(io_error),
        Err(error) => Err(io_error(error)),
    }
}

fn read_key(path: &Path, mode: u32) -> Result<[u8; KEY_BYTES], KeyError> {
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode });
    }
    let text = fs::read_to_string(path).map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
    from_hex(text.trim_end()).ok_or_else(|| KeyError::Malformed { path: path.to_owned() })
}

fn make_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    write_new(path, &format!("{}\n", to_hex(&key)))?;
    Ok(key)
}

/// Writes a file that only its owner can read; it is on disk when this returns. Written under another name first: a crash
/// leaves no half key, and nobody reads one.
pub(crate) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let _ = fs::remove_file(&unfinished);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<[u8; KEY_BYTES]> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let bytes: Vec<u8> = digits?.chunks(2).filter_map(byte_of).collect();
    if text.len() == KEY_BYTES * 2 { bytes.try_into().ok() } else { None }
}

fn byte_of(pair: &[u32]) -> Option<u8> {
    let [high, low] = pair else { return None };
    u8::try_from(high * 16 + low).ok()
}

#[cfg(test)]
mod tests;
