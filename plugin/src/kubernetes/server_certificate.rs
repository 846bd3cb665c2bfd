//! Whether the API server's certificate is trusted.
//!
//! webpki refuses a certificate that is marked as a CA, even if the kubeconfig trusts exactly this certificate. Go
//! accepts it, and `openssl req -x509` makes such certificates.

use std::sync::Arc;

use rustls::{
    DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        VerifierBuilderError, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use x509_parser::{
    prelude::{FromDer, X509Certificate},
    time::ASN1Time,
};

/// Trusts what webpki trusts, and the trusted certificates themselves.
#[derive(Debug)]
pub(super) struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl Verifier {
    /// Trusts these certificates, in DER.
    pub(super) fn new(trusted: &[Vec<u8>]) -> Result<Self, VerifierBuilderError> {
        let trusted: Vec<_> = trusted.iter().cloned().map(CertificateDer::from).collect();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let provider = Arc::new(ring::default_provider());
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Self { webpki, trusted })
    }

    /// Whether exactly this certificate is trusted, is for the server of this name, and is valid now.
    fn is_trusted_itself(&self, certificate: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> bool {
        let has_name = || ParsedCertificate::try_from(certificate).and_then(|it| verify_server_name(&it, name)).is_ok();
        let now = i64::try_from(now.as_secs()).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
        let is_for_servers = |certificate: &X509Certificate<'_>| match certificate.extended_key_usage() {
            Ok(usage) => usage.is_none_or(|usage| usage.value.server_auth || usage.value.any),
            Err(_) => false,
        };
        let is_usable = || {
            let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
            Some(certificate.validity().is_valid_at(now?) && is_for_servers(&certificate))
        };
        self.trusted.contains(certificate) && has_name() && is_usable() == Some(true)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.webpki.verify_server_cert(end_entity, intermediates, name, ocsp_response, now) {
            Err(_) if self.is_trusted_itself(end_entity, name, now) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair};

    use super::*;

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(["a.test".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().into()
    }

    #[test]
    fn a_trusted_certificate_that_is_also_a_ca_is_accepted_for_its_name_and_time() {
        let trusted = certificate(|_| {});
        let for_clients = certificate(|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
        let for_servers = certificate(|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
        let over = certificate(|it| it.not_after = rcgen::date_time_ymd(2020, 1, 1));
        let other = certificate(|_| {});
        let roots = [&trusted, &for_clients, &for_servers, &over].map(|it| it.to_vec());
        let verifier = Verifier::new(&roots).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
        for (certificate, name, expected) in [
            (&trusted, "a.test", true),
            (&for_servers, "a.test", true),
            (&trusted, "b.test", false),
            (&for_clients, "a.test", false),
            (&over, "a.test", false),
            (&other, "a.test", false),
        ] {
            let name = ServerName::try_from(name).unwrap();
            let verified = verifier.verify_server_cert(certificate, &[], &name, &[], now);
            assert_eq!(verified.is_ok(), expected, "{name:?} {verified:?}");
        }
    }
}
