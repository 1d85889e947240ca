//! Identities and TLS, in both directions.

use crate::InvalidMessage;
use crate::invalid::{Checked, each, nested, parsed, stated};
use crate::proto::snapshot::v1;
use tenon_core::manifest::{
    Authorization, Certificate, GatewayTls, Mtls, PlainListener, Security, TlsVersion,
};

impl From<Security> for v1::Security {
    fn from(security: Security) -> Self {
        let mtls = match security.mtls {
            Mtls::Strict => v1::Mtls::Strict,
            Mtls::Permissive => v1::Mtls::Permissive,
        };
        let authorization = match security.authorization {
            Authorization::Open => v1::Authorization::Open,
            Authorization::Declared => v1::Authorization::Declared,
        };
        Self { mtls: mtls.into(), authorization: authorization.into() }
    }
}

impl TryFrom<v1::Security> for Security {
    type Error = InvalidMessage;
    fn try_from(message: v1::Security) -> Checked<Self> {
        let mtls = |it| match it {
            v1::Mtls::Unspecified => None,
            v1::Mtls::Strict => Some(Mtls::Strict),
            v1::Mtls::Permissive => Some(Mtls::Permissive),
        };
        let authorization = |it| match it {
            v1::Authorization::Unspecified => None,
            v1::Authorization::Open => Some(Authorization::Open),
            v1::Authorization::Declared => Some(Authorization::Declared),
        };
        Ok(Self {
            mtls: stated("mtls", message.mtls, mtls)?,
            authorization: stated("authorization", message.authorization, authorization)?,
        })
    }
}

impl From<&GatewayTls> for v1::GatewayTls {
    fn from(tls: &GatewayTls) -> Self {
        let version = match tls.min_version {
            TlsVersion::Tls12 => v1::TlsVersion::TlsVersion12,
            TlsVersion::Tls13 => v1::TlsVersion::TlsVersion13,
        };
        let certificate = |it: &Certificate| v1::Certificate {
            hosts: it.hosts.iter().map(ToString::to_string).collect(),
            cert: it.cert.clone(),
            key: it.key.clone(),
        };
        let plain =
            |it: PlainListener| v1::PlainListener { listen: it.listen.to_string(), redirect: it.redirect };
        Self {
            certificates: tls.certificates.iter().map(certificate).collect(),
            min_version: version.into(),
            plain: tls.plain.map(plain),
        }
    }
}

impl TryFrom<v1::GatewayTls> for GatewayTls {
    type Error = InvalidMessage;
    fn try_from(message: v1::GatewayTls) -> Checked<Self> {
        let version = |it| match it {
            v1::TlsVersion::Unspecified => None,
            v1::TlsVersion::TlsVersion12 => Some(TlsVersion::Tls12),
            v1::TlsVersion::TlsVersion13 => Some(TlsVersion::Tls13),
        };
        let certificate = |it: v1::Certificate| {
            let hosts = each("hosts", it.hosts, |host| parsed("", &host))?;
            Ok(Certificate { hosts, cert: it.cert, key: it.key })
        };
        Ok(Self {
            certificates: each("certificates", message.certificates, certificate)?,
            min_version: stated("min_version", message.min_version, version)?,
            plain: message.plain.map(|it| nested("plain", Some(it))).transpose()?,
        })
    }
}

impl TryFrom<v1::PlainListener> for PlainListener {
    type Error = InvalidMessage;
    fn try_from(message: v1::PlainListener) -> Checked<Self> {
        Ok(Self { listen: parsed("listen", &message.listen)?, redirect: message.redirect })
    }
}
