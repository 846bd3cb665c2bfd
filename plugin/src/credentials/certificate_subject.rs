//! The user that a client certificate names, and its validity.

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{
    oid_registry::OID_USERID,
    prelude::{FromDer, X509Certificate},
    time::ASN1Time,
};

use crate::config::Material;

/// The user that a client certificate names, and its validity.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CertificateSubject {
    pub(crate) user: String,
    not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl CertificateSubject {
    /// Reads a certificate in PEM.
    pub(crate) fn parse(certificate: &[u8]) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(certificate).ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let subject = certificate.subject();
        let mut names = subject.iter_common_name().chain(subject.iter_by_oid(&OID_USERID));
        let user = names.find_map(|name| name.as_str().ok()).unwrap_or_default().to_owned();
        let time = |time: ASN1Time| Timestamp::from_second(time.timestamp()).ok();
        let validity = certificate.validity();
        Some(Self { user, not_before: time(validity.not_before)?, not_after: time(validity.not_after)? })
    }

    /// Reads the configured certificate, unless it is a file. A login stores its certificate inline.
    pub(super) fn of_login(material: Option<&Material>) -> Option<Self> {
        match material? {
            Material::Inline(certificate) => Self::parse(certificate),
            Material::File(_) | Material::Imported { .. } => None,
        }
    }

    /// Whether less than a third of the lifetime is left.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let (lifetime, left) = (self.not_after.duration_since(self.not_before), self.not_after.duration_since(now));
        left * 3 < lifetime
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn a_certificate_is_due_in_the_last_third_of_its_lifetime() {
        let not_before = Timestamp::from_second(1_000_000).unwrap();
        let after = |hours: u64| not_before + Duration::from_secs(hours * 3600);
        let subject = CertificateSubject { user: "alice".to_owned(), not_before, not_after: after(24) };
        for (hours, due) in [(0, false), (15, false), (17, true), (23, true), (25, true)] {
            assert_eq!(subject.is_due(after(hours)), due, "{hours}");
        }
    }

    #[test]
    fn a_certificate_names_its_user() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "alice");
        let pem = params.self_signed(&key).unwrap().pem();
        assert_eq!(CertificateSubject::parse(pem.as_bytes()).unwrap().user, "alice");
        assert_eq!(CertificateSubject::parse(b"x"), None);
    }
}
