//! Whether the API server's certificate is trusted.
//!
//! webpki refuses a certificate that is marked as a CA, even if the kubeconfig trusts exactly this certificate or the one
//! that has signed it. Go accepts it, and `openssl req -x509` and `openssl x509 -req` make such certificates. And webpki
//! trusts a CA whose time is over, which Go does not.

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
    oid_registry::{OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA},
    prelude::{FromDer, X509Certificate},
    time::ASN1Time,
};

/// Why no server can be trusted.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoTrust {
    #[error("this machine has no CA certificates: name one in the kubeconfig, or with SSL_CERT_FILE")]
    None,
    #[error("no CA certificate of the kubeconfig is valid at this time")]
    Over,
    #[error(transparent)]
    Unusable(#[from] VerifierBuilderError),
}

/// Trusts what webpki trusts, the trusted certificates themselves, and CAs that they have signed.
#[derive(Debug)]
pub(super) struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl Verifier {
    /// Trusts these certificates, in DER, as far as they are valid now.
    pub(super) fn new(trusted: &[Vec<u8>], now: UnixTime) -> Result<Self, NoTrust> {
        if trusted.is_empty() {
            return Err(NoTrust::None);
        }
        let now = asn1_time(now);
        let is_over = |certificate: &CertificateDer<'_>| {
            let parsed = X509Certificate::from_der(certificate);
            parsed.is_ok_and(|(_, parsed)| now.is_some_and(|now| !parsed.validity().is_valid_at(now)))
        };
        let trusted: Vec<_> =
            trusted.iter().cloned().map(CertificateDer::from).filter(|certificate| !is_over(certificate)).collect();
        if trusted.is_empty() {
            return Err(NoTrust::Over);
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let provider = Arc::new(ring::default_provider());
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Self { webpki, trusted })
    }

    /// Whether a certificate that webpki refuses is trusted itself, or is a CA that a trusted one has signed. It must be
    /// for the server of this name, and valid now.
    fn is_trusted(&self, certificate: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> bool {
        let has_name = || ParsedCertificate::try_from(certificate).and_then(|it| verify_server_name(&it, name)).is_ok();
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
        let is_valid = || asn1_time(now).is_some_and(|now| parsed.validity().is_valid_at(now));
        let is_signed = || parsed.is_ca() && self.trusted.iter().any(|issuer| has_signed(issuer, &parsed));
        has_name() && is_valid() && is_for_servers(&parsed) && (self.trusted.contains(certificate) || is_signed())
    }
}

fn asn1_time(time: UnixTime) -> Option<ASN1Time> {
    ASN1Time::from_timestamp(i64::try_from(time.as_secs()).ok()?).ok()
}

fn is_for_servers(certificate: &X509Certificate<'_>) -> bool {
    let usage = certificate.extended_key_usage();
    usage.is_ok_and(|usage| usage.is_none_or(|usage| usage.value.server_auth || usage.value.any))
}

/// Whether a trusted certificate has signed another one and may do so for any server. Go, too, refuses SHA-1.
fn has_signed(issuer: &CertificateDer<'_>, certificate: &X509Certificate<'_>) -> bool {
    let Ok((_, issuer)) = X509Certificate::from_der(issuer) else { return false };
    let is_sha1 = [OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA].contains(&certificate.signature_algorithm.algorithm);
    let usage = issuer.key_usage();
    let may_sign = issuer.is_ca() && usage.is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()));
    let is_for_all_names = issuer.name_constraints().is_ok_and(|constraints| constraints.is_none());
    issuer.subject().as_raw() == certificate.issuer().as_raw()
        && may_sign
        && is_for_all_names
        && is_for_servers(&issuer)
        && !is_sha1
        && certificate.verify_signature(Some(issuer.public_key())).is_ok()
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
            Err(_) if self.is_trusted(end_entity, name, now) => Ok(ServerCertVerified::assertion()),
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

    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair,
        KeyUsagePurpose, NameConstraints,
    };

    use super::*;

    const NOW: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));

    /// A CA, or a certificate that is marked as one.
    fn params(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
        let mut params = CertificateParams::new(["a.test".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        params
    }

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        params(change).self_signed(&KeyPair::generate().unwrap()).unwrap().into()
    }

    fn is_accepted(trusted: &[&CertificateDer<'_>], certificate: &CertificateDer<'_>, name: &str) -> bool {
        let trusted: Vec<_> = trusted.iter().map(|it| it.to_vec()).collect();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let verifier = Verifier::new(&trusted, NOW);
        verifier.is_ok_and(|verifier| verifier.verify_server_cert(certificate, &[], &name, &[], NOW).is_ok())
    }

    #[test]
    fn a_trusted_certificate_that_is_also_a_ca_is_accepted_for_its_name_and_time() {
        let trusted = certificate(|_| {});
        let for_clients = certificate(|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
        let for_servers = certificate(|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
        let over = certificate(|it| it.not_after = rcgen::date_time_ymd(2020, 1, 1));
        let other = certificate(|_| {});
        let roots = [&trusted, &for_clients, &for_servers, &over];
        for (row, certificate, name, expected) in [
            ("itself", &trusted, "a.test", true),
            ("for servers", &for_servers, "a.test", true),
            ("another name", &trusted, "b.test", false),
            ("for clients", &for_clients, "a.test", false),
            ("over", &over, "a.test", false),
            ("not trusted", &other, "a.test", false),
        ] {
            assert_eq!(is_accepted(&roots, certificate, name), expected, "{row}");
        }
    }

    /// A change of a certificate.
    type Change = fn(&mut CertificateParams);

    #[test]
    fn a_ca_that_a_trusted_one_has_signed_is_accepted_as_the_certificate_of_a_server() {
        let same: Change = |_| {};
        let no_ca: Change = |it| it.is_ca = IsCa::NoCa;
        let over: Change = |it| it.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let for_clients: Change = |it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let without_signatures: Change = |it| it.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let limited: Change = |it| {
            let permitted_subtrees = vec![GeneralSubtree::DnsName("a.test".to_owned())];
            it.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
        };
        for (row, ca, leaf, name, expected) in [
            ("a CA", same, same, "a.test", true),
            ("no CA", same, no_ca, "a.test", true),
            ("another name", same, same, "b.test", false),
            ("it is over", same, over, "a.test", false),
            ("it is for clients", same, for_clients, "a.test", false),
            ("the CA is over", over, same, "a.test", false),
            ("the CA of an ordinary certificate is over", over, no_ca, "a.test", false),
            ("the CA signs no certificates", without_signatures, same, "a.test", false),
            ("the CA is for clients", for_clients, same, "a.test", false),
            ("the CA has limits", limited, same, "a.test", false),
        ] {
            let key = KeyPair::generate().unwrap();
            let ca = params(|it| {
                it.distinguished_name.push(DnType::CommonName, "the CA");
                ca(it);
            });
            let trusted: CertificateDer<'static> = ca.self_signed(&key).unwrap().into();
            let forger = KeyPair::generate().unwrap();
            let leaf = params(leaf);
            let leaf_key = KeyPair::generate().unwrap();
            let signed_by = |key: &KeyPair| -> CertificateDer<'static> {
                leaf.signed_by(&leaf_key, &Issuer::from_params(&ca, key)).unwrap().into()
            };
            assert_eq!(is_accepted(&[&trusted], &signed_by(&key), name), expected, "{row}");
            assert!(!is_accepted(&[&trusted], &signed_by(&forger), name), "{row}: another key has signed it");
        }
    }
}
