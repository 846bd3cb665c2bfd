//! A CA and the certificates that it signs. Keys are ECDSA P-256.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, anyhow, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use x509_parser::{certificate::X509Certificate, der_parser::Oid, x509::X509Name};

use super::subject;

/// How far in the past the certificates of clients begin, because the clocks of the servers differ. It is short: from this
/// long after a revocation time on, every new certificate begins after that time.
const CLIENT_BACKDATE: Duration = Duration::from_secs(60);

/// How far in the past all other certificates begin: the clocks of a cluster and of its clients differ.
const BACKDATE: Duration = Duration::from_secs(5 * 60);

/// A day.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A CA. It signs the certificates of servers and clients, and its successor's.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
    begins: SystemTime,
    ends: SystemTime,
    /// The time before which no certificate of a client begins, if there is one.
    clients_not_before: Option<SystemTime>,
}

/// A certificate and its key, in PEM.
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// The private key, in PKCS #8.
    pub key: String,
}

impl Authority {
    /// Makes a new CA.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn new(lifetime: Duration) -> Result<Self> {
        let key = KeyPair::generate()?;
        let (begins, params) = ca_params(lifetime, 1);
        let ends = begins + lifetime;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { certificate, issuer: Issuer::new(params, key), begins, ends, clients_not_before: None })
    }

    /// Signs the certificate of a successor. Peers that trust only this CA accept what the successor signs.
    ///
    /// # Errors
    ///
    /// When the key cannot sign.
    pub(super) fn cross_sign(&self, successor: &Self) -> Result<String> {
        let lifetime = self.ends.duration_since(SystemTime::now()).unwrap_or_default();
        let (_, mut params) = ca_params(lifetime, 0);
        let der = pem::parse(&successor.certificate)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(der.contents())?;
        let name = parsed.subject().iter_common_name().next().context("a CA has a name")?.as_str()?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(successor.issuer.key(), &self.issuer)?.pem())
    }

    /// Reads a CA's certificate and key, in PEM.
    ///
    /// # Errors
    ///
    /// Names the part that is not usable, and why.
    pub fn parse(certificate: String, key: &str) -> Result<Self> {
        let key = KeyPair::from_pem(key).context("the CA's key is not a private key")?;
        let der = pem::parse(&certificate).context("the CA's certificate is not PEM")?;
        let (_, parsed) = x509_parser::parse_x509_certificate(der.contents())
            .context("the CA's certificate is not an X.509 certificate")?;
        ensure!(parsed.is_ca(), "the CA's certificate is not that of a CA");
        ensure!(
            parsed.public_key().raw == key.subject_public_key_info(),
            "the CA's key is not that of its certificate"
        );
        let (begins, ends) = validity(&parsed)?;
        ensure!(ends > SystemTime::now(), "the CA has expired");
        ensure!(is_writable(parsed.subject()), "the CA's name has an attribute of an invalid type");
        let issuer = Issuer::from_ca_cert_der(&der.contents().into(), key)?;
        Ok(Self { certificate, issuer, begins, ends, clients_not_before: None })
    }

    /// Signs no certificate of a client that begins earlier than this.
    pub(super) fn with_clients_not_before(self, time: Option<SystemTime>) -> Self {
        Self { clients_not_before: time, ..self }
    }

    /// Gives the CA's certificate, in PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Gives the CA's private key, in PEM.
    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// When it was made.
    pub(super) fn begins(&self) -> SystemTime {
        self.begins
    }

    /// When it ends, and with it every certificate that it has signed.
    pub(super) fn ends(&self) -> SystemTime {
        self.ends
    }

    /// Issues a certificate for a server whose clients reach it by `names`.
    ///
    /// It is valid for client authentication as well: `helm test` calls the server from a pod that has no other
    /// certificate. As a client, it is a user with the name of the Service.
    ///
    /// # Errors
    ///
    /// When a name is neither a DNS name nor an IP address.
    pub fn issue_server(&self, common_name: &str, names: Vec<String>, lifetime: Duration) -> Result<Issued> {
        let key = KeyPair::generate()?;
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let mut params = self.leaf_params(common_name, lifetime, usages);
        params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { certificate, key: key.serialize_pem() })
    }

    /// Issues a certificate that names a user and the user's groups.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn issue_client(&self, user: &str, groups: &[String], lifetime: Duration) -> Result<Issued> {
        let key = KeyPair::generate()?;
        let certificate = self.sign_client(user, groups, lifetime, &key)?;
        Ok(Issued { certificate, key: key.serialize_pem() })
    }

    /// Issues such a certificate for the key of a request (PKCS #10, PEM). Everything else in the request is ignored.
    ///
    /// # Errors
    ///
    /// When it is not such a request, or not signed by its own key.
    pub(super) fn sign_request(
        &self,
        request: &str,
        user: &str,
        groups: &[String],
        lifetime: Duration,
    ) -> Result<String> {
        let request =
            CertificateSigningRequestParams::from_pem(request).context("the request is not a PKCS #10 request")?;
        self.sign_client(user, groups, lifetime, &request.public_key)
    }

    fn sign_client(
        &self,
        user: &str,
        groups: &[String],
        lifetime: Duration,
        key: &impl PublicKeyData,
    ) -> Result<String> {
        let mut params = self.leaf_params("client", lifetime, vec![ExtendedKeyUsagePurpose::ClientAuth]);
        let begin = SystemTime::now() - CLIENT_BACKDATE;
        params.not_before = self.clients_not_before.map_or(begin, |earliest| earliest.max(begin)).into();
        let certificate = params.signed_by(key, &self.issuer)?;
        let certificate = subject::replace(certificate.der(), &subject::encode(user, groups), self.issuer.key())?;
        Ok(subject::pem(certificate))
    }

    fn leaf_params(
        &self,
        common_name: &str,
        lifetime: Duration,
        usages: Vec<ExtendedKeyUsagePurpose>,
    ) -> CertificateParams {
        let ends = self.ends.min(SystemTime::now() + lifetime);
        let mut params = params(common_name, ends);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages;
        params.use_authority_key_identifier_extension = true;
        params
    }
}

/// The parameters that all certificates share. rcgen chooses the serial number: 159 bits of a digest of the key, which
/// is new each time.
fn params(common_name: &str, ends: SystemTime) -> CertificateParams {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::default();
    params.not_before = (SystemTime::now() - BACKDATE).into();
    params.not_after = ends.into();
    params.distinguished_name = name;
    params
}

/// The parameters of a CA's certificate. `path_length` is how many CAs may be below it.
fn ca_params(lifetime: Duration, path_length: u8) -> (SystemTime, CertificateParams) {
    let now = SystemTime::now();
    // With the time in its name, a successor cannot be mistaken for its predecessor.
    let time = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let mut params = params(&format!("replica-count-manager CA {time}"), now + lifetime);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (now, params)
}

/// Whether the CA can write a name into the certificates that it signs: the types of its attributes must be valid
/// object identifiers. The first number is at most 2, and the second is below 40 unless the first is 2 (X.690, 8.19.4).
fn is_writable(name: &X509Name<'_>) -> bool {
    let is_oid = |oid: &Oid<'_>| {
        let mut numbers = oid.iter().into_iter().flatten();
        matches!((numbers.next(), numbers.next()), (Some(0 | 1), Some(0..40)) | (Some(2), Some(_)))
    };
    name.iter_attributes().all(|attribute| is_oid(attribute.attr_type()))
}

/// When a certificate of ours begins, without the backdating, and ends.
fn validity(certificate: &X509Certificate<'_>) -> Result<(SystemTime, SystemTime)> {
    let time = |seconds: i64| -> Result<SystemTime> {
        let seconds = u64::try_from(seconds).context("the certificate begins or ends before 1970")?;
        Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    };
    let validity = certificate.validity();
    Ok((time(validity.not_before.timestamp())? + BACKDATE, time(validity.not_after.timestamp())?))
}

/// When the first certificate in a PEM text begins and ends.
///
/// # Errors
///
/// When there is none.
pub(super) fn period(certificate: &str) -> Result<(SystemTime, SystemTime)> {
    let der = pem::parse(certificate).context("not PEM")?;
    let (_, parsed) = x509_parser::parse_x509_certificate(der.contents()).context("not a certificate")?;
    let (begin, end) = validity(&parsed)?;
    Ok((begin - BACKDATE, end))
}

/// Lists the names by which clients reach a server: through a port-forward, through its Service, and the `further`
/// ones. The API server reaches its webhooks through a Service of their own.
pub fn server_names(service: &str, namespace: &str, further: &[String]) -> Vec<String> {
    let mut names = ["localhost", "127.0.0.1", "::1", service].map(String::from).to_vec();
    names.extend(["", ".svc", ".svc.cluster.local"].map(|end| format!("{service}.{namespace}{end}")));
    // As the chart makes it: a Service's name has at most 63 characters.
    let stem: String = service.chars().take(53).collect();
    names.push(format!("{}-admission.{namespace}.svc", stem.trim_end_matches('-')));
    for name in further {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Parses a DNS name, which may begin with a wildcard, or an IP address. Labels have at most 63 characters and names at
/// most 253 (RFC 1035).
///
/// # Errors
///
/// When it is neither.
pub fn host(text: &str) -> Result<String> {
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
mod tests;
