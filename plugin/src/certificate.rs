//! What people want to know of a client certificate: whose it is, who issued it, and when it ends.

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{
    prelude::{FromDer, X509Certificate},
    time::ASN1Time,
    x509::X509Name,
};

/// The issuer and the validity of a certificate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CertificateSummary {
    pub(crate) issuer: String,
    not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl CertificateSummary {
    /// Reads the first certificate of a PEM text.
    pub(crate) fn parse(pem: &[u8]) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(pem).ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let time = |time: ASN1Time| Timestamp::from_second(time.timestamp()).ok();
        let validity = certificate.validity();
        Some(Self {
            issuer: common_name(certificate.issuer()),
            not_before: time(validity.not_before)?,
            not_after: time(validity.not_after)?,
        })
    }

    /// Whether less than a tenth of the lifetime is left.
    pub(crate) fn is_ending(&self, now: Timestamp) -> bool {
        let (lifetime, left) = (self.not_after.duration_since(self.not_before), self.not_after.duration_since(now));
        left * 10 < lifetime
    }
}

/// The common name, or else the whole name.
fn common_name(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().find_map(|part| part.as_str().ok());
    common.map_or_else(|| name.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn a_certificate_has_an_issuer_and_an_end() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "ca");
        let summary = CertificateSummary::parse(params.self_signed(&key).unwrap().pem().as_bytes()).unwrap();
        assert_eq!(summary.issuer, "ca");
        assert!(summary.not_before < summary.not_after);
        assert_eq!(CertificateSummary::parse(b"x"), None);
    }

    #[test]
    fn it_is_ending_in_the_last_tenth_of_its_lifetime() {
        let not_before = Timestamp::from_second(1_000_000).unwrap();
        let after = |hours: u64| not_before + Duration::from_secs(hours * 3600);
        let summary = CertificateSummary { issuer: String::new(), not_before, not_after: after(100) };
        for (hours, is_ending) in [(0, false), (89, false), (91, true), (101, true)] {
            assert_eq!(summary.is_ending(after(hours)), is_ending, "{hours}");
        }
    }
}
