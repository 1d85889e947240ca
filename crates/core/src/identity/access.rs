//! Who is let in, by identity.

use super::Workload;
use crate::id::ServiceRef;
use crate::manifest::{Authorization, Mtls, Security};

/// Why a caller is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denied {
    /// It has not shown who it is.
    Nobody,
    /// The service lets in only those that declare it as a dependency.
    Undeclared,
}

/// Whether a service lets in a caller, which is nobody if it has shown nothing. `declares` says whether a service's
/// declaration names the one that is called.
///
/// # Errors
/// [`Denied`].
pub fn admits(
    security: Security,
    caller: Option<&Workload>,
    declares: impl FnOnce(&ServiceRef) -> bool,
) -> Result<(), Denied> {
    let declared = || security.authorization == Authorization::Declared;
    match caller {
        None if security.mtls == Mtls::Strict || declared() => Err(Denied::Nobody),
        None | Some(Workload::Gateway) => Ok(()),
        Some(Workload::Service(service)) if declared() && !declares(service) => Err(Denied::Undeclared),
        Some(Workload::Service(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
