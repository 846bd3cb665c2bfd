//! The CA and what it signs. Keys are ECDSA P-256.

use std::{
    fs,
    net::IpAddr,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, anyhow, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use x509_parser::certificate::X509Certificate;

use crate::subject;

/// Certificates begin a little in the past: the clocks of a cluster and of its clients differ.
const BACKDATE: Duration = Duration::from_secs(5 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A CA that signs certificates of servers and clients, and no further CA.
pub(crate) struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
    ends: SystemTime,
}

/// A certificate and its key, in PEM.
pub(crate) struct Issued {
    /// The certificate.
    pub(crate) certificate: String,
    /// The private key, in PKCS #8.
    pub(crate) key: String,
}

impl Authority {
    /// Makes a new CA.
    pub(crate) fn new(days: u16) -> Result<Self> {
        let key = KeyPair::generate()?;
        let ends = SystemTime::now() + DAY * u32::from(days);
        let mut params = params("replica-count-manager CA", ends);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { certificate, issuer: Issuer::new(params, key), ends })
    }

    /// Reads the CA that an earlier run wrote.
    pub(crate) fn load(folder: &Path) -> Result<Self> {
        let [certificate, key] = ["ca.crt", "ca.key"].map(|name| {
            let path = folder.join(name);
            fs::read_to_string(&path).with_context(|| {
                format!("failed to read {}; without `server` or `client`, a new CA is made", path.display())
            })
        });
        Self::parse(certificate?, &key?).with_context(|| format!("failed to use the CA in {}", folder.display()))
    }

    fn parse(certificate: String, key: &str) -> Result<Self> {
        let key = KeyPair::from_pem(key).context("ca.key is not a private key")?;
        let der = pem::parse(&certificate).context("ca.crt is not PEM")?;
        let (_, parsed) = x509_parser::parse_x509_certificate(der.contents()).context("ca.crt is not a certificate")?;
        ensure!(parsed.is_ca(), "ca.crt is not the certificate of a CA");
        ensure!(parsed.public_key().raw == key.subject_public_key_info(), "ca.key is not the key of ca.crt");
        let ends = end(&parsed)?;
        let issuer = Issuer::from_ca_cert_der(&der.contents().into(), key)?;
        Ok(Self { certificate, issuer, ends })
    }

    /// Gives the CA's certificate, in PEM.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Gives the CA's private key, in PEM.
    pub(crate) fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Issues a certificate for a server that is reached by `names`.
    ///
    /// It is for client authentication as well: `helm test` calls the server from a pod that has no other certificate.
    /// As a client, it is a user with the name of the Service.
    pub(crate) fn issue_server(&self, common_name: &str, names: Vec<String>, days: u16) -> Result<Issued> {
        let key = KeyPair::generate()?;
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let mut params = self.leaf_params(common_name, days, usages);
        params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { certificate, key: key.serialize_pem() })
    }

    /// Issues a certificate that names a user and the user's groups.
    pub(crate) fn issue_client(&self, user: &str, groups: &[String], days: u16) -> Result<Issued> {
        let key = KeyPair::generate()?;
        let params = self.leaf_params(user, days, vec![ExtendedKeyUsagePurpose::ClientAuth]);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let certificate = subject::replace(certificate.der(), &subject::encode(user, groups), self.issuer.key())?;
        Ok(Issued { certificate: subject::pem(certificate), key: key.serialize_pem() })
    }

    fn leaf_params(&self, common_name: &str, days: u16, usages: Vec<ExtendedKeyUsagePurpose>) -> CertificateParams {
        let ends = self.ends.min(SystemTime::now() + DAY * u32::from(days));
        let mut params = params(common_name, ends);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages;
        params.use_authority_key_identifier_extension = true;
        params
    }
}

/// Begins a certificate. Its serial number is left to rcgen: 159 bits of a digest of the key, which is new each time.
fn params(common_name: &str, ends: SystemTime) -> CertificateParams {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::default();
    params.not_before = (SystemTime::now() - BACKDATE).into();
    params.not_after = ends.into();
    params.distinguished_name = name;
    params
}

fn end(certificate: &X509Certificate<'_>) -> Result<SystemTime> {
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).context("ca.crt ended long ago")?;
    let ends = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    ensure!(ends > SystemTime::now(), "ca.crt has ended; make a new CA with `-- --force`");
    Ok(ends)
}

/// Lists the names by which a server is reached: through a port-forward, through its Service, and the `further` ones.
pub(crate) fn server_names(service: &str, namespace: &str, further: &[String]) -> Vec<String> {
    let mut names = ["localhost", "127.0.0.1", "::1", service].map(String::from).to_vec();
    names.extend(["", ".svc", ".svc.cluster.local"].map(|end| format!("{service}.{namespace}{end}")));
    for name in further {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Parses a DNS name, which may begin with a wildcard, or an IP address.
pub(crate) fn host(text: &str) -> Result<String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = text.strip_prefix("*.").unwrap_or(text);
    if text.parse::<IpAddr>().is_ok() || (text.len() <= 253 && name.split('.').all(label)) {
        return Ok(text.to_owned());
    }
    Err(anyhow!("not a DNS name or IP address"))
}

#[cfg(test)]
mod tests {
    use x509_parser::{extensions::GeneralName, prelude::ParsedExtension};

    use super::*;

    #[test]
    fn the_server_is_known_by_its_loopback_and_service_names() {
        assert_eq!(
            server_names("rcm", "tools", &["rcm.example.com".to_owned(), "rcm.tools".to_owned()]),
            [
                "localhost",
                "127.0.0.1",
                "::1",
                "rcm",
                "rcm.tools",
                "rcm.tools.svc",
                "rcm.tools.svc.cluster.local",
                "rcm.example.com"
            ]
        );
    }

    #[test]
    fn a_host_is_a_dns_name_or_an_address() {
        for good in ["localhost", "a.b-c.example", "*.example.com", "10.0.0.1", "::1"] {
            assert!(host(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "a..b", "-a", "a-", "a b", "a_b", "*", "a.*.b", "https://a", &"a".repeat(64)] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_ca_signs_leaves_only() -> Result<()> {
        let ca = Authority::new(30)?;
        let der = pem::parse(ca.certificate())?;
        let (_, parsed) = x509_parser::parse_x509_certificate(der.contents())?;
        let constraints = parsed.basic_constraints()?.context("no basic constraints")?;
        assert!(constraints.value.ca);
        assert_eq!(constraints.value.path_len_constraint, Some(0));
        let usage = parsed.key_usage()?.context("no key usage")?;
        assert!(usage.value.key_cert_sign() && usage.value.crl_sign() && !usage.value.digital_signature());
        parsed.verify_signature(None)?;
        Ok(())
    }

    #[test]
    fn a_server_certificate_serves_its_names_only_and_can_call_the_server() -> Result<()> {
        let ca = Authority::new(30)?;
        let issued = ca.issue_server("rcm", server_names("rcm", "tools", &[]), 10)?;
        let der = pem::parse(issued.certificate)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(der.contents())?;
        let usage = parsed.extended_key_usage()?.context("no extended key usage")?;
        assert!(usage.value.server_auth && usage.value.client_auth);
        let names = parsed.subject_alternative_name()?.context("no alternative names")?;
        assert_eq!(names.value.general_names.len(), 7);
        assert_eq!(names.value.general_names[0], GeneralName::DNSName("localhost"));
        assert!(!parsed.is_ca());
        Ok(())
    }

    #[test]
    fn a_ca_read_back_signs_like_before_and_is_not_outlived() -> Result<()> {
        let ca = Authority::new(30)?;
        let again = Authority::parse(ca.certificate().to_owned(), &ca.key())?;
        let issued = again.issue_client("alice", &["sre".to_owned()], 365)?;
        let (ca, leaf) = (pem::parse(again.certificate())?, pem::parse(issued.certificate)?);
        let (_, ca) = x509_parser::parse_x509_certificate(ca.contents())?;
        let (_, leaf) = x509_parser::parse_x509_certificate(leaf.contents())?;
        leaf.verify_signature(Some(ca.public_key()))?;
        let usage = leaf.extended_key_usage()?.context("no extended key usage")?;
        assert!(usage.value.client_auth && !usage.value.server_auth);
        assert_eq!(leaf.issuer(), ca.subject());
        assert_eq!(leaf.validity().not_after, ca.validity().not_after);
        assert_eq!(authority_key_id(&leaf), subject_key_id(&ca));
        assert!(subject_key_id(&leaf).is_some());
        Ok(())
    }

    #[test]
    fn a_key_of_another_ca_is_refused() -> Result<()> {
        let (one, other) = (Authority::new(30)?, Authority::new(30)?);
        assert!(Authority::parse(one.certificate().to_owned(), &other.key()).is_err());
        Ok(())
    }

    fn subject_key_id<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
        certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
            _ => None,
        })
    }

    fn authority_key_id<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
        certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0),
            _ => None,
        })
    }
}
