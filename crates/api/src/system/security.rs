//! Identities and TLS.

use crate::InvalidMessage;
use crate::invalid::{Checked, each, parsed};
use crate::mirror::mirror;
use crate::text::millis::round_up;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tenon_core::manifest::{
    Authorization, Certificate, GatewayTls, Mesh, Mtls, PlainListener, Security, TlsVersion,
};

/// Who may call a service, and how they show who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecurityDoc {
    /// Whether callers in other processes must show a certificate.
    pub mtls: MtlsDoc,
    /// Which callers are let in.
    pub authorization: AuthorizationDoc,
}

mirror! {
    /// Whether callers in other processes must show a certificate.
    MtlsDoc of Mtls {
        /// They must.
        Strict,
        /// They may as well call in plain text.
        Permissive,
    }
}

mirror! {
    /// Which callers are let in.
    AuthorizationDoc of Authorization {
        /// Everybody of the mesh.
        Open,
        /// Services that declare it as a dependency, and the gateway.
        Declared,
    }
}

mirror! {
    /// A version of TLS.
    TlsVersionDoc of TlsVersion {
        /// 1.2.
        Tls12,
        /// 1.3.
        Tls13,
    }
}

/// What holds for the whole mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MeshDoc {
    /// How long a workload's certificate holds.
    pub certificate_ttl_ms: u64,
}

/// How the gateway speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GatewayTlsDoc {
    /// What it shows.
    pub certificates: Vec<CertificateDoc>,
    /// The oldest version that it speaks.
    pub min_version: TlsVersionDoc,
    /// Where it speaks no TLS, if anywhere.
    pub plain: Option<PlainListenerDoc>,
}

/// A certificate in files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateDoc {
    /// The hosts that it is for; if empty, those that no other is for.
    pub hosts: Vec<String>,
    /// The file with the certificate.
    pub cert: String,
    /// The file with its key.
    pub key: String,
}

/// Where the gateway speaks no TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlainListenerDoc {
    /// `ip:port`.
    pub listen: String,
    /// Whether it only tells clients to come by TLS.
    pub redirect: bool,
}

impl From<Security> for SecurityDoc {
    fn from(security: Security) -> Self {
        Self { mtls: security.mtls.into(), authorization: security.authorization.into() }
    }
}

impl From<SecurityDoc> for Security {
    fn from(doc: SecurityDoc) -> Self {
        Self { mtls: doc.mtls.into(), authorization: doc.authorization.into() }
    }
}

impl From<Mesh> for MeshDoc {
    fn from(mesh: Mesh) -> Self {
        Self { certificate_ttl_ms: round_up(mesh.certificate_ttl) }
    }
}

impl From<MeshDoc> for Mesh {
    fn from(doc: MeshDoc) -> Self {
        Self { certificate_ttl: Duration::from_millis(doc.certificate_ttl_ms) }
    }
}

impl From<&GatewayTls> for GatewayTlsDoc {
    fn from(tls: &GatewayTls) -> Self {
        let certificate = |it: &Certificate| CertificateDoc {
            hosts: it.hosts.iter().map(ToString::to_string).collect(),
            cert: it.cert.clone(),
            key: it.key.clone(),
        };
        Self {
            certificates: tls.certificates.iter().map(certificate).collect(),
            min_version: tls.min_version.into(),
            plain: tls
                .plain
                .map(|it| PlainListenerDoc { listen: it.listen.to_string(), redirect: it.redirect }),
        }
    }
}

impl TryFrom<&GatewayTlsDoc> for GatewayTls {
    type Error = InvalidMessage;
    fn try_from(doc: &GatewayTlsDoc) -> Checked<Self> {
        let certificate = |it: &CertificateDoc| {
            let hosts = each("hosts", &it.hosts, |host| parsed("", host))?;
            Ok(Certificate { hosts, cert: it.cert.clone(), key: it.key.clone() })
        };
        let plain = |it: &PlainListenerDoc| {
            Ok(PlainListener { listen: parsed("plain.listen", &it.listen)?, redirect: it.redirect })
        };
        Ok(Self {
            certificates: each("certificates", &doc.certificates, certificate)?,
            min_version: doc.min_version.into(),
            plain: doc.plain.as_ref().map(plain).transpose()?,
        })
    }
}
