//! The subject of a client certificate: the user as CN, or as UID if the name is too long for a CN, and each group as
//! an O.
//!
//! rcgen keeps one value for each attribute, but a user may be in several groups. So this module replaces the subject
//! of a certificate that rcgen made, and signs it again.

use anyhow::{Context, Result, ensure};
use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{KeyPair, SigningKey};
use yasna::{ASN1Result, models::ObjectIdentifier};

const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
const ORGANIZATION: &[u64] = &[2, 5, 4, 10];

/// The attribute `uid` (RFC 4519) of names that are too long for a common name.
const USER_ID: &[u64] = &[0, 9, 2342, 19_200_300, 100, 1, 1];

/// The longest common name, in characters (RFC 5280, ub-common-name).
const MAX_COMMON_NAME: usize = 64;

/// The place of the subject among the fields of a certificate, after version, serial number, algorithm, issuer and
/// validity.
const SUBJECT_FIELD: usize = 5;

/// Encodes the subject of a user in DER.
pub(super) fn encode(user: &str, groups: &[String]) -> Vec<u8> {
    let groups = groups.iter().map(|group| (ORGANIZATION, group.as_str()));
    let name = if user.chars().count() > MAX_COMMON_NAME { USER_ID } else { COMMON_NAME };
    let attributes: Vec<_> = groups.chain([(name, user)]).map(|(oid, value)| attribute(oid, value)).collect();
    sequence(&attributes)
}

/// Gives `certificate` another subject, and signs it with `key`.
pub(super) fn replace(certificate: &[u8], subject: &[u8], key: &KeyPair) -> Result<Vec<u8>> {
    let [body, algorithm, _signature] =
        <[Vec<u8>; 3]>::try_from(elements(certificate)?).ok().context("a certificate has three parts")?;
    let mut fields = elements(&body)?;
    ensure!(fields.len() > SUBJECT_FIELD, "a certificate has a subject");
    fields[SUBJECT_FIELD] = subject.to_vec();
    let body = sequence(&fields);
    let signature = key.sign(&body)?;
    let signature = yasna::construct_der(|writer| writer.write_bitvec_bytes(&signature, signature.len() * 8));
    Ok(sequence(&[body, algorithm, signature]))
}

/// Writes a certificate in PEM, with line ends like rcgen's.
pub(super) fn pem(certificate: Vec<u8>) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new("CERTIFICATE", certificate), config)
}

fn attribute(oid: &[u64], value: &str) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_set(|writer| {
            writer.next().write_sequence(|writer| {
                writer.next().write_oid(&ObjectIdentifier::from_slice(oid));
                writer.next().write_utf8_string(value);
            });
        });
    })
}

fn elements(der: &[u8]) -> ASN1Result<Vec<Vec<u8>>> {
    yasna::parse_der(der, |reader| reader.collect_sequence_of(|reader| reader.read_der()))
}

fn sequence(elements: &[Vec<u8>]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| elements.iter().for_each(|element| writer.next().write_der(element)));
    })
}

#[cfg(test)]
mod tests {
    use x509_parser::parse_x509_certificate;

    use super::super::authority::{Authority, DAY};
    use super::*;

    #[test]
    fn every_group_is_an_organization_of_its_own() -> Result<()> {
        let groups = ["sre", "on-call", "équipe"].map(String::from);
        let issued = Authority::new(30 * DAY)?.issue_client("alice@example.com", &groups, DAY)?;
        let der = ::pem::parse(issued.certificate)?;
        let (rest, parsed) = parse_x509_certificate(der.contents())?;
        assert!(rest.is_empty());
        let user: Vec<_> = parsed.subject().iter_common_name().map(|name| name.as_str()).collect::<Result<_, _>>()?;
        let found: Vec<_> = parsed.subject().iter_organization().map(|name| name.as_str()).collect::<Result<_, _>>()?;
        assert_eq!(user, ["alice@example.com"]);
        assert_eq!(found, groups);
        Ok(())
    }

    #[test]
    fn replacing_the_subject_of_a_non_certificate_fails() -> Result<()> {
        let key = KeyPair::generate()?;
        assert!(replace(b"", &encode("alice", &[]), &key).is_err());
        assert!(replace(&sequence(&[]), &encode("alice", &[]), &key).is_err());
        Ok(())
    }
}
