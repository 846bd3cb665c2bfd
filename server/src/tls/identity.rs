//! The user and groups of a client, read from its certificate as Kubernetes does.

use rustls::pki_types::CertificateDer;
use x509_parser::{
    oid_registry::OID_USERID,
    prelude::{FromDer, X509Certificate},
};

/// A client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The common name of its certificate. A certificate without one may have a user ID instead, which has room for
    /// longer names. May be empty.
    pub user: String,
    /// The organisations of its certificate, and `system:authenticated`.
    pub groups: Vec<String>,
}

impl Identity {
    /// The group that Kubernetes gives to every authenticated user.
    pub(super) const AUTHENTICATED: &str = "system:authenticated";

    /// Reads a certificate, and believes every name in it; `None` if it cannot be read, which verification has ruled out.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let subject = certificate.subject();
        let text =
            |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| attribute.as_str().ok().map(str::to_owned);
        Some(Self {
            user: subject.iter_common_name().chain(subject.iter_by_oid(&OID_USERID)).find_map(text).unwrap_or_default(),
            groups: subject.iter_organization().filter_map(text).chain([Self::AUTHENTICATED.to_owned()]).collect(),
        })
    }
}
