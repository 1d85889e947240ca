//! Why a call failed.

use crate::Problem;
use tenon_core::Code;

/// Why a call failed. What `Display` says is for people; [`Error::code`] is for programs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address or the token is not one that can be used; nothing was sent.
    #[error("cannot call {address:?}: {problem}")]
    Address {
        /// The address as given.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Nothing answers; nothing was sent.
    #[error(
        "nothing answers at {address}; start the system with `tenon up`, or say where it is with TENON_API"
    )]
    Unavailable {
        /// Where.
        address: String,
        /// What the connection said.
        source: reqwest::Error,
    },
    /// The connection broke before the answer was complete. Whether a change was made is unknown.
    #[error("{address} went away before it had answered; whether a change was made is unknown")]
    Interrupted {
        /// Who.
        address: String,
        /// What the connection said.
        source: reqwest::Error,
    },
    /// No answer came in time. Whether a change was made is unknown.
    #[error("{address} did not answer in time; whether a change was made is unknown")]
    Timeout {
        /// Who.
        address: String,
    },
    /// The server refused, and says why. Nothing was changed, unless the code is `internal.fault`.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// The answer is not one that a server of this version gives: something else may listen there.
    #[error("{address} gave an answer that is not Tenon's ({status}: {problem})")]
    Unexpected {
        /// Who.
        address: String,
        /// The HTTP status.
        status: u16,
        /// What is wrong with the answer.
        problem: String,
    },
}

impl Error {
    /// The stable code; `None` if whatever answered is not Tenon.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Address { .. } => Some(Code::RequestInvalid),
            Self::Unavailable { .. } | Self::Interrupted { .. } => Some(Code::ServerUnavailable),
            Self::Timeout { .. } => Some(Code::ServerTimeout),
            Self::Refused(problem) => Some(problem.code),
            Self::Unexpected { .. } => None,
        }
    }

    /// The exit code of a command that ends with this error.
    pub fn exit_code(&self) -> u8 {
        self.code().map_or(1, Code::exit_code)
    }

    /// The error as a problem, for output that programs read.
    pub fn to_problem(&self) -> Problem {
        match self {
            Self::Refused(problem) => (**problem).clone(),
            other => Problem::new(other.code().unwrap_or(Code::Internal), other.to_string()),
        }
    }

    pub(super) fn of(address: &str, source: reqwest::Error) -> Self {
        let address = address.to_owned();
        // The address stands in the sentence already.
        let source = source.without_url();
        if source.is_connect() {
            Self::Unavailable { address, source }
        } else if source.is_timeout() {
            Self::Timeout { address }
        } else {
            Self::Interrupted { address, source }
        }
    }
}
