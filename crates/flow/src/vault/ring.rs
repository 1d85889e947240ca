//! The keys of subjects, in a folder: a file for each key, wrapped by the master key, and a tombstone for each subject
//! that was forgotten.
//!
//! A file is called by a hash of the subject. A key that was made or destroyed is so on disk before anybody uses it or is
//! told. What was looked up is remembered, for so many subjects at a time.

use super::cipher::{self, KEY_BYTES, Key};
use super::{Who, files};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tenon_core::subject::{Found, Open, Seal, open, seal};
use tenon_core::{Code, Namespace, Subject};
use tenon_store::{AppendError, ReadError};

/// How many subjects are remembered.
const REMEMBERED: usize = 16_384;

/// How a key's file begins.
const MAGIC: &[u8; 6] = b"TNKEY\x01";

/// Why keys could not be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A key's file holds something else, or was wrapped by another master key.
    #[error("{} cannot be read with this master key; restore the master key that it was made with", path.display())]
    Wrapped {
        /// The file.
        path: PathBuf,
    },
    /// The master key is none.
    #[error("{} does not hold 64 hexadecimal digits", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The cipher or the source of randomness failed.
    #[error("encryption failed")]
    Cipher,
    /// The process is ending.
    #[error("the server is ending")]
    Ended,
    /// It was forgotten, but nothing tells where that is told.
    #[error("the subject was forgotten, but its event is not in the log; forget it again")]
    Untold,
    /// The log could not be appended to.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl VaultError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Append(error) => error.code(),
            Self::Read(error) => error.code(),
            Self::Ended => Code::LogClosed,
            _ => Code::Internal,
        }
    }

    pub(super) fn of_append(self) -> AppendError {
        match self {
            Self::Append(error) => error,
            other => AppendError::Io(Arc::new(io::Error::other(other))),
        }
    }

    pub(super) fn of_read(self) -> ReadError {
        match self {
            Self::Read(error) => error,
            other => ReadError::Io(Arc::new(io::Error::other(other))),
        }
    }
}

/// What there is of a subject.
#[derive(Debug, Clone)]
pub(super) enum Held {
    /// Its key.
    Key(Arc<Key>),
    /// It was forgotten.
    Forgotten,
    /// There is no key.
    Nothing,
}

/// The keys of subjects.
pub struct KeyRing {
    folder: PathBuf,
    master: Key,
    /// What was looked up; held while files are changed, so that a subject has one key.
    remembered: Mutex<HashMap<Who, Held>>,
}

impl KeyRing {
    /// The keys in a folder, which is made if it is not there, wrapped by the master key in a file of 64 hexadecimal
    /// digits, which is made if it is not there. Whoever loses the master key has forgotten every subject.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn open(folder: &Path, master_key_file: &Path) -> Result<Self, VaultError> {
        files::make_folder(folder).map_err(|source| failed(folder, source))?;
        let master = Key::new(&master_key(master_key_file)?)?;
        Ok(Self { folder: folder.to_owned(), master, remembered: Mutex::default() })
    }

    /// What is remembered of a subject. That there is no key is never remembered.
    pub(super) fn cached(&self, who: &Who) -> Option<Held> {
        self.lock().get(who).cloned()
    }

    /// What there is of a subject to read with.
    pub(super) fn find(&self, who: &Who) -> Result<Held, VaultError> {
        let mut remembered = self.lock();
        let held = match open(self.found(who)?) {
            Open::UseKey => match self.unwrap(who) {
                Ok(key) => Held::Key(Arc::new(key)),
                // Somebody must look into it, but whoever reads goes on.
                Err(error @ VaultError::Wrapped { .. }) => {
                    tracing::error!(%error, "a subject's key cannot be used");
                    return Ok(Held::Nothing);
                }
                Err(error) => return Err(error),
            },
            Open::Forgotten => Held::Forgotten,
            Open::Unreadable => return Ok(Held::Nothing),
        };
        Ok(remember(&mut remembered, who, held))
    }

    /// What there is of a subject to write with: its key, made if it had none, unless it was forgotten.
    pub(super) fn hold(&self, who: &Who) -> Result<Held, VaultError> {
        let mut remembered = self.lock();
        let held = match seal(self.found(who)?) {
            Seal::UseKey => Held::Key(Arc::new(self.unwrap(who)?)),
            Seal::MakeKey => Held::Key(Arc::new(self.make(who)?)),
            Seal::Refuse => Held::Forgotten,
        };
        Ok(remember(&mut remembered, who, held))
    }

    /// What is found of a subject in the folder.
    pub(super) fn found(&self, who: &Who) -> Result<Found, VaultError> {
        let there = |extension| {
            let path = self.path(who, extension);
            path.try_exists().map_err(|source| failed(&path, source))
        };
        Ok(Found { key: there(KEY)?, tombstone: there(TOMBSTONE)?, told: false })
    }

    /// Writes the tombstone. From now on the subject is forgotten.
    pub(super) fn bury(&self, who: &Who) -> Result<(), VaultError> {
        let mut remembered = self.lock();
        let path = self.path(who, TOMBSTONE);
        self.make_folder_of(&path)?;
        let content = format!("{}\n{}\n", who.namespace, who.subject);
        files::write(&path, content.as_bytes()).map_err(|source| failed(&path, source))?;
        remember(&mut remembered, who, Held::Forgotten);
        Ok(())
    }

    /// Destroys the key.
    pub(super) fn destroy(&self, who: &Who) -> Result<(), VaultError> {
        let _one_at_a_time = self.lock();
        let path = self.path(who, KEY);
        files::destroy(&path).map_err(|source| failed(&path, source))
    }

    /// All subjects that have a tombstone.
    pub(super) fn buried(&self) -> Result<Vec<Who>, VaultError> {
        let mut buried = Vec::new();
        for folder in entries(&self.folder)? {
            for path in entries(&folder)? {
                if path.extension().is_some_and(|it| it == TOMBSTONE) {
                    let content = files::read(&path).map_err(|source| failed(&path, source))?;
                    buried.extend(content.and_then(|content| who_of(&content)));
                }
            }
        }
        Ok(buried)
    }

    fn make(&self, who: &Who) -> Result<Key, VaultError> {
        let bytes: [u8; KEY_BYTES] = cipher::random()?;
        let path = self.path(who, KEY);
        let wrapped = self.master.seal(cipher::file_name(who).as_bytes(), &bytes)?;
        self.make_folder_of(&path)?;
        let content = [&MAGIC[..], &wrapped].concat();
        files::write(&path, &content).map_err(|source| failed(&path, source))?;
        Key::new(&bytes)
    }

    fn unwrap(&self, who: &Who) -> Result<Key, VaultError> {
        let path = self.path(who, KEY);
        let content = files::read(&path).map_err(|source| failed(&path, source))?.unwrap_or_default();
        let wrapped = content.strip_prefix(MAGIC.as_slice());
        let bytes = wrapped.and_then(|it| self.master.open(cipher::file_name(who).as_bytes(), it));
        match bytes {
            Some(bytes) => Key::new(&bytes),
            None => Err(VaultError::Wrapped { path }),
        }
    }

    fn make_folder_of(&self, path: &Path) -> Result<(), VaultError> {
        match path.parent() {
            Some(folder) if !folder.is_dir() => {
                files::make_folder(folder).map_err(|source| failed(folder, source))
            }
            _ => Ok(()),
        }
    }

    fn path(&self, who: &Who, extension: &str) -> PathBuf {
        let name = cipher::file_name(who);
        let (folder, _) = name.split_at(2);
        self.folder.join(folder).join(format!("{name}.{extension}"))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Who, Held>> {
        // What is remembered is only ever put in or taken out as a whole.
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// What the files of a subject end in.
const KEY: &str = "key";
const TOMBSTONE: &str = "gone";

fn remember(remembered: &mut HashMap<Who, Held>, who: &Who, held: Held) -> Held {
    if remembered.len() >= REMEMBERED {
        // Rare, and what is needed again is looked up again.
        remembered.clear();
    }
    remembered.insert(who.clone(), held.clone());
    held
}

fn who_of(content: &[u8]) -> Option<Who> {
    let (namespace, subject) = std::str::from_utf8(content).ok()?.trim_end().split_once('\n')?;
    Some(Who { namespace: Namespace::new(namespace).ok()?, subject: Subject::new(subject).ok()? })
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, VaultError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let listed = std::fs::read_dir(folder).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()
    });
    listed.map_err(|source| failed(folder, source))
}

fn master_key(path: &Path) -> Result<Vec<u8>, VaultError> {
    let found = files::read(path).map_err(|source| failed(path, source))?;
    let text = match found {
        Some(content) => String::from_utf8(content).unwrap_or_default(),
        None => {
            let bytes: [u8; KEY_BYTES] = cipher::random()?;
            let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            files::write(path, format!("{text}\n").as_bytes()).map_err(|source| failed(path, source))?;
            text
        }
    };
    let digits = text.trim();
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..2 * KEY_BYTES).step_by(2).map(byte).collect();
    bytes
        .filter(|_| digits.len() == 2 * KEY_BYTES)
        .ok_or_else(|| VaultError::Malformed { path: path.to_owned() })
}

fn failed(path: &Path, source: io::Error) -> VaultError {
    VaultError::Io { path: path.to_owned(), source }
}
