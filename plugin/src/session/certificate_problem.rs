//! Why a certificate is refused, in words for people.

use rustls::{CertificateError, Error};

/// The text of webpki about a certificate that is marked as a CA's. rustls passes it on as another error.
const OF_CA: &str = "CaUsedAsEndEntity";

/// Whether a certificate was refused because it is a CA's own.
pub(super) fn is_of_ca(problem: &CertificateError) -> bool {
    matches!(problem, CertificateError::Other(other) if other.to_string() == OF_CA)
}

/// Why a server that trusts a CA refuses a client certificate.
pub(super) fn describe(error: &Error) -> String {
    let Error::InvalidCertificate(problem) = error else { return error.to_string() };
    match problem {
        problem if is_of_ca(problem) => "the certificate is a CA's own, not a client's".to_owned(),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the certificate is not signed by this CA".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the certificate is not for clients".to_owned()
        }
        CertificateError::Other(other) => format!("the certificate is invalid: {other}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use rustls::OtherError;

    use super::*;

    #[test]
    fn a_refused_certificate_is_described_without_the_names_of_rust() {
        let other = |text: &str| CertificateError::Other(OtherError(Arc::new(io::Error::other(text))));
        for (name, problem, expected) in [
            ("of a CA", other(OF_CA), "the certificate is a CA's own, not a client's"),
            ("of another CA", CertificateError::UnknownIssuer, "the certificate is not signed by this CA"),
            ("a wrong signature", CertificateError::BadSignature, "the certificate is not signed by this CA"),
            ("of a server", CertificateError::InvalidPurpose, "the certificate is not for clients"),
            ("another problem", other("it is odd"), "the certificate is invalid: it is odd"),
        ] {
            assert_eq!(describe(&problem.into()), expected, "{name}");
        }
        assert_eq!(describe(&Error::DecryptError), Error::DecryptError.to_string());
    }
}
