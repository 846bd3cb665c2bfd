//! Certificates, requests and keys that are the same in each run, so that their mutations are the same too.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, Error, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// The PKCS #8 header of the 32 bytes of an Ed25519 key. Ed25519 signatures contain nothing random.
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// A CA, a certificate that it has signed, and a request.
pub struct Fixtures {
    /// The CA's certificate and key.
    pub ca: Pair,
    /// A client's certificate and key.
    pub client: Pair,
    /// A certificate request (PKCS #10), in PEM.
    pub request: String,
    /// The client's certificate, in DER.
    pub der: Vec<u8>,
}

/// A certificate and its key, in PEM.
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

/// Makes the fixtures.
///
/// # Errors
///
/// If rcgen refuses the parameters.
pub fn fixtures() -> Result<Fixtures, Error> {
    let (ca_key, client_key) = (key(1)?, key(2)?);
    let mut ca = params("replica-count-manager CA", &[]);
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_certificate = ca.self_signed(&ca_key)?.pem();
    let issuer = Issuer::new(ca, &ca_key);
    let mut client = params("alice", &["localhost", "127.0.0.1"]);
    client.distinguished_name.push(DnType::OrganizationName, "sre");
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let request = client.serialize_request(&client_key)?.pem()?;
    client.use_authority_key_identifier_extension = true;
    let certificate = client.signed_by(&client_key, &issuer)?;
    Ok(Fixtures {
        ca: Pair { certificate: ca_certificate, key: ca_key.serialize_pem() },
        der: certificate.der().to_vec(),
        client: Pair { certificate: certificate.pem(), key: client_key.serialize_pem() },
        request,
    })
}

fn key(number: u8) -> Result<KeyPair, Error> {
    KeyPair::try_from([&PKCS8[..], &[number; 32]].concat())
}

fn params(name: &str, alternatives: &[&str]) -> CertificateParams {
    let names: Vec<_> = alternatives.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap_or_default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2099, 1, 1));
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixtures_are_the_same_each_time() -> Result<(), Error> {
        let (one, two) = (fixtures()?, fixtures()?);
        assert_eq!((one.ca.certificate, one.request, one.der), (two.ca.certificate, two.request, two.der));
        Ok(())
    }
}
