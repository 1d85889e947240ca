//! Whether the payloads of a subject may be read: crypto-shredding, for one subject at a time.
//!
//! A payload that is about a subject (a person, by a pseudonym) is encrypted under a key of the subject's own, kept
//! outside of the log. To forget the subject is to destroy the key: then nothing that was ever copied of the log can be
//! read, and nothing that is in it need be changed.
//!
//! Three things are found of a subject: its key, a tombstone beside the keys, and an event of the log that tells that it
//! was forgotten. Forgetting writes the tombstone, destroys the key and tells, in this order, so that after a crash at any
//! point either nothing has happened or the rest can be done. A tombstone or the event alone means forgotten, so that
//! neither an old copy of the keys nor one of the log brings a key back: see [`mend`], which must be carried out before
//! anything is served from what was restored. Only if both are restored at once, from copies that are both older, is the
//! subject as it was then.
//!
//! Left out on purpose: keys, ciphers and files (crate `flow`).

/// What is found of a subject.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Found {
    /// There is a key.
    pub key: bool,
    /// There is a tombstone beside the keys.
    pub tombstone: bool,
    /// The log tells that the subject was forgotten.
    pub told: bool,
}

/// Where a subject is in its life. It only ever goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing was encrypted for it here.
    Unknown,
    /// It has a key.
    Kept,
    /// It was forgotten, for good.
    Forgotten,
}

/// What is to be done to encrypt a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seal {
    /// Make a key, and use it once it is durable.
    MakeKey,
    /// Use the key.
    UseKey,
    /// Refuse: the subject was forgotten.
    Refuse,
}

/// What is told in place of an encrypted payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Open {
    /// The payload, decrypted with the key.
    UseKey,
    /// That the subject was forgotten.
    Forgotten,
    /// That the key is not here.
    Unreadable,
}

/// A step of forgetting. Each is durable before the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Write the tombstone.
    Bury,
    /// Destroy the key.
    Destroy,
    /// Append the event that tells.
    Tell,
}

impl Found {
    /// Where the subject is in its life.
    pub const fn state(self) -> State {
        if self.tombstone || self.told {
            State::Forgotten
        } else if self.key {
            State::Kept
        } else {
            State::Unknown
        }
    }

    /// What is found after a step.
    #[must_use]
    pub const fn after(self, step: Step) -> Self {
        match step {
            Step::Bury => Self { tombstone: true, ..self },
            Step::Destroy => Self { key: false, ..self },
            Step::Tell => Self { told: true, ..self },
        }
    }
}

/// What is to be done to encrypt a payload.
pub const fn seal(found: Found) -> Seal {
    match found.state() {
        State::Unknown => Seal::MakeKey,
        State::Kept => Seal::UseKey,
        State::Forgotten => Seal::Refuse,
    }
}

/// What is told in place of an encrypted payload.
pub const fn open(found: Found) -> Open {
    match found.state() {
        State::Unknown => Open::Unreadable,
        State::Kept => Open::UseKey,
        State::Forgotten => Open::Forgotten,
    }
}

/// The next step of forgetting, whatever has been done of it; none when it is complete.
pub const fn forget(found: Found) -> Option<Step> {
    if !found.tombstone {
        Some(Step::Bury)
    } else if found.key {
        Some(Step::Destroy)
    } else if !found.told {
        Some(Step::Tell)
    } else {
        None
    }
}

/// The next step to mend what a crash left half done or an old copy brought back; none when nothing is amiss.
pub const fn mend(found: Found) -> Option<Step> {
    match found.state() {
        State::Forgotten => forget(found),
        State::Unknown | State::Kept => None,
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
