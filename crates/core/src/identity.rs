//! Who a workload is, by SPIFFE's rules, and when its certificate is to be renewed.
//!
//! An identity is a URI, `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE`, or `spiffe://TRUST-DOMAIN/gateway` for the entry
//! from outside. It stands in the workload's certificate (an X.509-SVID) and is what others authorise by; names and
//! addresses are not asked. [`renewal`] decides when a new certificate is to be had.
//!
//! Left out on purpose: certificates and signatures (crates `control` and `proxy`).

mod access;
pub mod renewal;

pub use access::{Denied, admits};

use crate::id::{InvalidName, Namespace, ServiceName, ServiceRef};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// How long a certificate holds unless the manifest says otherwise.
pub const DEFAULT_TTL: Duration = Duration::from_secs(3_600);

/// The name under which a system's identities are issued: 1 to 255 characters of `a-z 0-9 . _ -` (SPIFFE-ID, 2.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(Arc<str>);

/// Who has an identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Workload {
    /// Every instance of a service.
    Service(ServiceRef),
    /// The entry from outside, wherever it is hosted.
    Gateway,
}

/// An identity: who, and in whose word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    /// Under which name it was issued.
    pub trust_domain: TrustDomain,
    /// Who it is.
    pub workload: Workload,
}

impl TrustDomain {
    /// Reads and checks a name.
    ///
    /// # Errors
    /// [`InvalidName`] says what form is expected.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
        };
        if text.is_empty() || text.len() > 255 || !text.bytes().all(allowed) {
            let problem = "must have 1 to 255 characters of a-z, 0-9, '.', '_' and '-'";
            return Err(InvalidName::new("trust domain", text, problem));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&ServiceName> for TrustDomain {
    /// A system's name is a DNS label, which is of the form.
    fn from(name: &ServiceName) -> Self {
        Self(name.as_str().into())
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Workload {
    /// The service, if it is one.
    pub fn service(&self) -> Option<&ServiceRef> {
        match self {
            Self::Service(service) => Some(service),
            Self::Gateway => None,
        }
    }

    /// A DNS name that no other workload has: `SERVICE.NAMESPACE`, or `gateway`.
    pub fn dns_name(&self) -> String {
        match self {
            Self::Service(it) => format!("{}.{}", it.name, it.namespace),
            Self::Gateway => "gateway".to_owned(),
        }
    }
}

/// For people: the service, or `the gateway`.
impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service) => write!(f, "{service}"),
            Self::Gateway => f.write_str("the gateway"),
        }
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}", self.trust_domain)?;
        match &self.workload {
            Workload::Service(it) => write!(f, "/ns/{}/sa/{}", it.namespace, it.name),
            Workload::Gateway => f.write_str("/gateway"),
        }
    }
}

impl FromStr for SpiffeId {
    type Err = InvalidName;

    /// Reads an identity of the forms that Tenon issues; one that is a valid SPIFFE ID of another form is refused.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let other = || {
            let problem = "is not of the form spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE or \
                           spiffe://TRUST-DOMAIN/gateway";
            InvalidName::new("SPIFFE ID", text, problem)
        };
        let rest = text.strip_prefix("spiffe://").ok_or_else(other)?;
        let (domain, path) = rest.split_once('/').ok_or_else(other)?;
        let segments: Vec<&str> = path.splitn(5, '/').collect();
        let workload = match segments.as_slice() {
            ["gateway"] => Workload::Gateway,
            ["ns", namespace, "sa", service] => Workload::Service(ServiceRef {
                name: ServiceName::new(service)?,
                namespace: Namespace::new(namespace)?,
            }),
            _ => return Err(other()),
        };
        Ok(Self { trust_domain: TrustDomain::new(domain)?, workload })
    }
}

#[cfg(test)]
mod tests;
