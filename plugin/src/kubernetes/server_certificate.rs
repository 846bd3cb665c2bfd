//! Whether the API server's certificate is trusted.
//!
//! webpki refuses a certificate that is marked as a CA, even if the kubeconfig trusts exactly this certificate or the one
//! that has signed it. Go accepts it, and `openssl req -x509` and `openssl x509 -req` make such certificates. And webpki
//! checks nothing of a trusted certificate, while Go trusts none whose time is over, and lets only CAs sign.

use rustls::{
    DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use x509_parser::{
    oid_registry::{OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA},
    prelude::{FromDer, X509Certificate, X509Version},
    time::ASN1Time,
};

/// Why no server can be trusted.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoTrust {
    #[error("this machine has no CA certificates: name one in the kubeconfig, or with SSL_CERT_FILE")]
    None,
    #[error("no trusted CA certificate is valid at this time")]
    Over,
}

/// Trusts what webpki trusts, the trusted certificates themselves, and CAs that they have signed.
#[derive(Debug)]
pub(super) struct Verifier {
    /// The trusted certificates that may sign others.
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
    trusted: Vec<CertificateDer<'static>>,
}

impl Verifier {
    /// Trusts these certificates, in DER, as far as they are valid now.
    pub(super) fn new(trusted: &[Vec<u8>], now: UnixTime) -> Result<Self, NoTrust> {
        if trusted.is_empty() {
            return Err(NoTrust::None);
        }
        let now = asn1_time(now);
        let is_valid = |it: &X509Certificate<'_>| now.is_none_or(|now| it.validity().is_valid_at(now));
        let trusted = trusted.iter().cloned().map(CertificateDer::from);
        let trusted: Vec<_> = trusted.filter(|it| parse(it).is_none_or(|it| is_valid(&it))).collect();
        if trusted.is_empty() {
            return Err(NoTrust::Over);
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().filter(|it| parse(it).is_none_or(|it| may_sign(&it))).cloned());
        let algorithms = ring::default_provider().signature_verification_algorithms;
        Ok(Self { roots, algorithms, trusted })
    }

    /// Whether webpki trusts a certificate for the server of this name.
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let certificate = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        verify_server_name(&certificate, name)
    }

    /// Whether a certificate that webpki refuses is trusted itself, or is a CA that a trusted one has signed. It must be
    /// for the server of this name, and valid now.
    fn is_trusted(&self, certificate: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> bool {
        let has_name = || ParsedCertificate::try_from(certificate).and_then(|it| verify_server_name(&it, name)).is_ok();
        let Some(parsed) = parse(certificate) else { return false };
        let is_valid = || asn1_time(now).is_some_and(|now| parsed.validity().is_valid_at(now));
        let is_signed = || parsed.is_ca() && self.trusted.iter().any(|issuer| has_signed(issuer, &parsed));
        has_name() && is_valid() && is_for_servers(&parsed) && (self.trusted.contains(certificate) || is_signed())
    }
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(certificate).ok().map(|(_, parsed)| parsed)
}

fn asn1_time(time: UnixTime) -> Option<ASN1Time> {
    ASN1Time::from_timestamp(i64::try_from(time.as_secs()).ok()?).ok()
}

fn is_for_servers(certificate: &X509Certificate<'_>) -> bool {
    let usage = certificate.extended_key_usage();
    usage.is_ok_and(|usage| usage.is_none_or(|usage| usage.value.server_auth || usage.value.any))
}

/// Whether a certificate may sign those of servers, by the rules of Go. The versions before 3 have no mark for a CA.
fn may_sign(issuer: &X509Certificate<'_>) -> bool {
    let usage = issuer.key_usage();
    (issuer.version() != X509Version::V3 || issuer.is_ca())
        && usage.is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()))
        && is_for_servers(issuer)
}

/// Whether a trusted certificate has signed another one and may do so for any server. Go, too, refuses SHA-1.
fn has_signed(issuer: &CertificateDer<'_>, certificate: &X509Certificate<'_>) -> bool {
    let Some(issuer) = parse(issuer) else { return false };
    let is_sha1 = [OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA].contains(&certificate.signature_algorithm.algorithm);
    let is_for_all_names = issuer.name_constraints().is_ok_and(|constraints| constraints.is_none());
    issuer.subject().as_raw() == certificate.issuer().as_raw()
        && may_sign(&issuer)
        && is_for_all_names
        && !is_sha1
        && certificate.verify_signature(Some(issuer.public_key())).is_ok()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.verify(end_entity, intermediates, name, now) {
            Err(error) if !self.is_trusted(end_entity, name, now) => Err(error),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
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
        let ordinary = certificate(|it| it.is_ca = IsCa::NoCa);
        let other = certificate(|_| {});
        let roots = [&trusted, &for_clients, &for_servers, &over, &ordinary];
        for (row, certificate, name, expected) in [
            ("itself", &trusted, "a.test", true),
            ("for servers", &for_servers, "a.test", true),
            ("another name", &trusted, "b.test", false),
            ("for clients", &for_clients, "a.test", false),
            ("over", &over, "a.test", false),
            ("no CA", &ordinary, "a.test", true),
            ("not trusted", &other, "a.test", false),
        ] {
            assert_eq!(is_accepted(&roots, certificate, name), expected, "{row}");
        }
        assert!(is_accepted(&[&ordinary], &ordinary, "a.test"), "nothing else is trusted");
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
        let with_signatures: Change = |it| it.key_usages = vec![KeyUsagePurpose::KeyCertSign];
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
            ("the CA of an ordinary certificate signs none", without_signatures, no_ca, "a.test", false),
            ("the CA signs certificates", with_signatures, no_ca, "a.test", true),
            ("the CA is for clients", for_clients, same, "a.test", false),
            ("the CA of an ordinary certificate is for clients", for_clients, no_ca, "a.test", false),
            ("no CA has signed it", no_ca, same, "a.test", false),
            ("no CA has signed an ordinary certificate", no_ca, no_ca, "a.test", false),
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
