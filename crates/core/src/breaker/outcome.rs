//! What becomes of calls, and which of it is a failure.

use std::fmt;

/// What a call was to a breaker.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outcome {
    /// Whether it failed.
    pub failed: bool,
    /// Whether it took too long, whether it failed or not.
    pub slow: bool,
}

impl Outcome {
    /// It failed, in good time.
    pub const FAILURE: Self = Self { failed: true, slow: false };
    /// It succeeded in good time.
    pub const SUCCESS: Self = Self { failed: false, slow: false };
}

/// What an outcome says of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It does what it should.
    Succeeded,
    /// It does not.
    Failed,
    /// Nothing.
    Ignored,
}

impl super::Config {
    /// What an answer says: its HTTP status, and for gRPC the status that it ended with.
    pub fn judge(&self, status: u16, grpc: Option<u8>) -> Verdict {
        self.verdict(|set| set.has_status(status) || grpc.is_some_and(|grpc| set.has_grpc_status(grpc)))
    }

    /// What it says that there was no connection, or that it broke.
    pub fn judge_network(&self) -> Verdict {
        self.verdict(|set| set.network)
    }

    /// What it says that no answer came in time.
    pub fn judge_timeout(&self) -> Verdict {
        self.verdict(|set| set.timeout)
    }

    fn verdict(&self, is_in: impl Fn(&Outcomes) -> bool) -> Verdict {
        match (is_in(&self.ignored), is_in(&self.failures)) {
            (true, _) => Verdict::Ignored,
            (false, true) => Verdict::Failed,
            (false, false) => Verdict::Succeeded,
        }
    }
}

/// A set of outcomes.
#[derive(Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outcomes {
    /// HTTP statuses from 400 on.
    statuses: [u64; 4],
    /// gRPC statuses.
    grpc: u32,
    /// No connection, or one that broke.
    pub network: bool,
    /// No answer in time.
    pub timeout: bool,
}

impl Outcomes {
    const FIRST: u16 = 400;

    /// What is a failure unless another is stated: no connection or answer, statuses from 500 on but 501, which says what the
    /// service can do and not how it is, and gRPC's DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE and DATA_LOSS.
    pub fn failures() -> Self {
        let statuses = (500..=599).filter(|status| *status != 501);
        Self::of(statuses, [4, 13, 14, 15]).and(true, true)
    }

    /// These HTTP statuses, of 400 to 599, and gRPC statuses, of 0 to 31; others are left out.
    pub fn of(statuses: impl IntoIterator<Item = u16>, grpc: impl IntoIterator<Item = u8>) -> Self {
        let mut set = Self::default();
        for status in statuses {
            let Some((word, bit)) = place(status) else { continue };
            if let Some(word) = set.statuses.get_mut(word) {
                *word |= bit;
            }
        }
        for status in grpc {
            set.grpc |= 1_u32.checked_shl(status.into()).unwrap_or(0);
        }
        set
    }

    /// These, and no connection or no answer in time as stated.
    #[must_use]
    pub const fn and(self, network: bool, timeout: bool) -> Self {
        Self { network, timeout, ..self }
    }

    /// Its HTTP statuses, in order.
    pub fn statuses(&self) -> impl Iterator<Item = u16> + '_ {
        (Self::FIRST..600).filter(|status| self.has_status(*status))
    }

    /// Its gRPC statuses, in order.
    pub fn grpc_statuses(&self) -> impl Iterator<Item = u8> + '_ {
        (0..32).filter(|status| self.has_grpc_status(*status))
    }

    fn has_status(&self, status: u16) -> bool {
        let word = place(status).and_then(|(word, bit)| self.statuses.get(word).map(|word| word & bit));
        word.is_some_and(|bit| bit != 0)
    }

    fn has_grpc_status(&self, status: u8) -> bool {
        self.grpc.checked_shr(status.into()).is_some_and(|rest| rest & 1 == 1)
    }
}

impl fmt::Debug for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcomes")
            .field("statuses", &self.statuses().collect::<Vec<_>>())
            .field("grpc_statuses", &self.grpc_statuses().collect::<Vec<_>>())
            .field("network", &self.network)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// Where a status stands in a set: the word and the bit.
fn place(status: u16) -> Option<(usize, u64)> {
    let number = status.checked_sub(Outcomes::FIRST).filter(|number| *number < 200)?;
    Some((usize::from(number / 64), 1 << (number % 64)))
}
