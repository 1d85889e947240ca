//! What ends a command that fails: what is said, and the exit code.

use crate::data_dir::DataDirError;
use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use tenon_core::{Code, Refusal};

/// What a command answers.
pub(crate) type Outcome = Result<(), Failure>;

/// A failure with its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: u8,
    message: String,
}

impl Failure {
    /// A failure with a code and a sentence that says how to mend it.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { exit: code.exit_code(), message: message.into() }
    }

    /// A failure whose reasons have been printed already.
    pub(crate) fn printed(code: Code) -> Self {
        Self { exit: code.exit_code(), message: String::new() }
    }

    /// An exit code that says how something is, which has been printed already.
    pub(crate) fn told(exit: u8) -> Self {
        Self { exit, message: String::new() }
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<DataDirError> for Failure {
    fn from(error: DataDirError) -> Self {
        Self::new(error.code(), chain(&error))
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.detail)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // Whoever read the output has gone and wants no more, not even a complaint.
        let gone = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self { exit: 1, message: if gone { String::new() } else { error.to_string() } }
    }
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
