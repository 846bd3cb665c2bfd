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
            "rcm-admission.tools.svc",
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
fn a_ca_signs_leaves_and_its_successor_only() -> Result<()> {
    let ca = Authority::new(30 * DAY)?;
    let der = pem::parse(ca.certificate())?;
    let (_, parsed) = x509_parser::parse_x509_certificate(der.contents())?;
    let constraints = parsed.basic_constraints()?.context("no basic constraints")?;
    assert!(constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(1));
    let usage = parsed.key_usage()?.context("no key usage")?;
    assert!(usage.value.key_cert_sign() && usage.value.crl_sign() && !usage.value.digital_signature());
    parsed.verify_signature(None)?;
    Ok(())
}

#[test]
fn a_server_certificate_serves_its_names_only_and_can_call_the_server() -> Result<()> {
    let ca = Authority::new(30 * DAY)?;
    let issued = ca.issue_server("rcm", server_names("rcm", "tools", &[]), 10 * DAY)?;
    let der = pem::parse(issued.certificate)?;
    let (_, parsed) = x509_parser::parse_x509_certificate(der.contents())?;
    let usage = parsed.extended_key_usage()?.context("no extended key usage")?;
    assert!(usage.value.server_auth && usage.value.client_auth);
    let names = parsed.subject_alternative_name()?.context("no alternative names")?;
    assert_eq!(names.value.general_names.len(), 8);
    assert_eq!(names.value.general_names[0], GeneralName::DNSName("localhost"));
    assert!(!parsed.is_ca());
    Ok(())
}

#[test]
fn a_ca_read_back_signs_like_before_and_is_not_outlived() -> Result<()> {
    let ca = Authority::new(30 * DAY)?;
    let again = Authority::parse(ca.certificate().to_owned(), &ca.key())?;
    let issued = again.issue_client("alice", &["sre".to_owned()], 365 * DAY)?;
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
fn a_ca_whose_name_cannot_be_written_again_is_refused() -> Result<()> {
    let ca = Authority::new(30 * DAY)?;
    let der = pem::parse(ca.certificate())?.into_contents();
    // The subject is behind the issuer. In both, the common name (2.5.4.3) becomes something that does not exist.
    let name = b"\x06\x03\x55\x04\x03";
    let places: Vec<_> = (0..der.len()).filter(|&at| der[at..].starts_with(name)).collect();
    let mut changed = der.clone();
    places.iter().for_each(|at| changed[at + 2] = 0xd5);
    let parse = |der: Vec<u8>| Authority::parse(pem::encode(&pem::Pem::new("CERTIFICATE", der)), &ca.key());
    assert!(parse(der).is_ok());
    let error = parse(changed).err().context("it is accepted")?;
    assert_eq!(error.to_string(), "the CA's name has an attribute of an invalid type");
    Ok(())
}

#[test]
fn a_peer_that_trusts_a_ca_accepts_what_its_successor_signs() -> Result<()> {
    let (old, new) = (Authority::new(30 * DAY)?, Authority::new(30 * DAY)?);
    let (cross, old_ca) = (pem::parse(old.cross_sign(&new)?)?, pem::parse(old.certificate())?);
    let leaf = pem::parse(new.issue_client("alice", &[], DAY)?.certificate)?;
    let (_, cross) = x509_parser::parse_x509_certificate(cross.contents())?;
    let (_, old_ca) = x509_parser::parse_x509_certificate(old_ca.contents())?;
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf.contents())?;
    cross.verify_signature(Some(old_ca.public_key()))?;
    leaf.verify_signature(Some(cross.public_key()))?;
    assert_eq!((leaf.issuer(), cross.issuer()), (cross.subject(), old_ca.subject()));
    assert_ne!(cross.subject(), old_ca.subject());
    assert_eq!(authority_key_id(&leaf), subject_key_id(&cross));
    Ok(())
}

#[test]
fn a_request_gets_a_certificate_for_its_key_and_nothing_else_of_it() -> Result<()> {
    let (ca, key) = (Authority::new(30 * DAY)?, KeyPair::generate()?);
    let request = CertificateParams::new(["evil.example.com".to_owned()])?.serialize_request(&key)?.pem()?;
    let arn = format!("arn:aws:sts::123456789012:assumed-role/{}/alice", "x".repeat(64));
    let signed = pem::parse(ca.sign_request(&request, &arn, &["sre".to_owned()], DAY)?)?;
    let (_, leaf) = x509_parser::parse_x509_certificate(signed.contents())?;
    assert_eq!(leaf.public_key().raw, key.subject_public_key_info());
    assert!(leaf.subject_alternative_name()?.is_none());
    let identity = crate::tls::Identity::of(&signed.contents().into()).context("no identity")?;
    assert_eq!((identity.user, identity.groups), (arn, vec!["sre".to_owned(), "system:authenticated".to_owned()]));
    assert!(ca.sign_request("x", "alice", &[], DAY).is_err());
    Ok(())
}

#[test]
fn the_certificate_of_a_client_begins_a_minute_ago_or_at_the_revocation_time() -> Result<()> {
    let second = |time: SystemTime| Ok::<_, anyhow::Error>(time.duration_since(SystemTime::UNIX_EPOCH)?.as_secs());
    let now = SystemTime::now();
    for (name, revoked, expected) in [
        ("none", None, now - CLIENT_BACKDATE),
        ("an old time", Some(now - DAY), now - CLIENT_BACKDATE),
        ("a moment ago", Some(now - Duration::from_secs(30)), now - Duration::from_secs(30)),
    ] {
        let ca = Authority::new(30 * DAY)?.with_clients_not_before(revoked);
        let (begin, _) = period(&ca.issue_client("alice", &[], DAY)?.certificate)?;
        let late = second(begin)? - second(expected)?;
        ensure!(late < 10, "{name}: {late} s late");
    }
    Ok(())
}

#[test]
fn a_key_of_another_ca_is_refused() -> Result<()> {
    let (one, other) = (Authority::new(30 * DAY)?, Authority::new(30 * DAY)?);
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
