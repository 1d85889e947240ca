//! How a data plane gets the certificates of the workloads that it hosts, over gRPC.
//!
//! Left out on purpose: making and signing certificates (crates `proxy` and `control`).

use crate::InvalidMessage;
use crate::invalid::{Checked, parsed, required};
use crate::proto::identity::v1;
use tenon_core::identity::SpiffeId;
use tenon_core::{InstanceId, Timestamp};

pub use v1::identity_service_client::IdentityServiceClient;
pub use v1::identity_service_server::{IdentityService, IdentityServiceServer};

/// The most bytes of a signing request; one with a P-256 key has some 200.
const MAX_SIGNING_REQUEST: usize = 16 << 10;

/// Whose certificate is wanted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// An instance, for its service.
    Instance(InstanceId),
    /// The gateway.
    Gateway,
}

/// What a data plane asks with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// For whom.
    pub holder: Holder,
    /// PKCS #10, DER.
    pub signing_request: Vec<u8>,
}

/// What it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// DER, the workload's own first.
    pub certificates: Vec<Vec<u8>>,
    /// DER; what others are checked by.
    pub roots: Vec<Vec<u8>>,
    /// Who the certificate says that its holder is.
    pub id: SpiffeId,
    /// When it ceases to hold.
    pub until: Timestamp,
}

impl From<&Issue> for v1::IssueRequest {
    fn from(issue: &Issue) -> Self {
        use v1::issue_request::Workload;
        let workload = match &issue.holder {
            Holder::Instance(instance) => Workload::Instance(instance.to_string()),
            Holder::Gateway => Workload::Gateway(v1::Gateway {}),
        };
        Self { workload: Some(workload), signing_request: issue.signing_request.clone().into() }
    }
}

impl TryFrom<v1::IssueRequest> for Issue {
    type Error = InvalidMessage;
    fn try_from(message: v1::IssueRequest) -> Checked<Self> {
        use v1::issue_request::Workload;
        let holder = match required("workload", message.workload)? {
            Workload::Instance(instance) => Holder::Instance(parsed("instance", &instance)?),
            Workload::Gateway(v1::Gateway {}) => Holder::Gateway,
        };
        if message.signing_request.len() > MAX_SIGNING_REQUEST {
            return Err(InvalidMessage::new("signing_request", "must have at most 16 KiB"));
        }
        Ok(Self { holder, signing_request: message.signing_request.to_vec() })
    }
}

impl From<Issued> for v1::IssueResponse {
    fn from(issued: Issued) -> Self {
        Self {
            certificates: issued.certificates.into_iter().map(Into::into).collect(),
            roots: issued.roots.into_iter().map(Into::into).collect(),
            spiffe_id: issued.id.to_string(),
            until_micros: issued.until.as_micros(),
        }
    }
}

impl TryFrom<v1::IssueResponse> for Issued {
    type Error = InvalidMessage;
    fn try_from(message: v1::IssueResponse) -> Checked<Self> {
        let missing = |field| InvalidMessage::new(field, "must not be empty");
        if message.certificates.is_empty() {
            return Err(missing("certificates"));
        }
        if message.roots.is_empty() {
            return Err(missing("roots"));
        }
        Ok(Self {
            certificates: message.certificates.into_iter().map(Into::into).collect(),
            roots: message.roots.into_iter().map(Into::into).collect(),
            id: parsed("spiffe_id", &message.spiffe_id)?,
            until: Timestamp::from_micros(message.until_micros),
        })
    }
}

#[cfg(test)]
mod tests;
