//! Fuzz targets: the parts of a CA, certificate requests, and host names.

use std::time::SystemTime;

use fuzz::x509::fixtures;
use rcgen::{KeyPair, SigningKey};

use super::authority::{Authority, DAY, host, period};
use crate::tls::Identity;

const LINES: [&str; 5] = [
    "-----BEGIN CERTIFICATE-----\n",
    "-----BEGIN PRIVATE KEY-----\n",
    "-----BEGIN CERTIFICATE REQUEST-----\n",
    "-----END CERTIFICATE-----\n",
    "-----",
];

fn encode(tag: &str, der: &[u8]) -> String {
    pem::encode(&pem::Pem::new(tag, der))
}

fn decode(text: &str) -> Vec<u8> {
    pem::parse(text).unwrap().into_contents()
}

/// Whether it is a CA. A CA can sign.
fn is_ca(certificate: String, key: &str) -> bool {
    let Ok(authority) = Authority::parse(certificate, key) else { return false };
    assert!(authority.ends() > SystemTime::now());
    let _ = authority.begins();
    authority.issue_client("alice", &[], DAY).is_ok_and(|issued| period(&issued.certificate).is_ok())
}

#[test]
fn no_ca_makes_the_reader_panic() {
    let ca = fixtures().unwrap().ca;
    fuzz::target("CA").seeds([&ca.certificate, &ca.key]).words(LINES).text(|text| {
        let _ = period(text);
        is_ca(text.to_owned(), &ca.key) || is_ca(ca.certificate.clone(), text)
    });
}

#[test]
fn no_certificate_of_a_ca_makes_the_reader_panic() {
    let ca = fixtures().unwrap().ca;
    fuzz::target("certificate of a CA").seeds([decode(&ca.certificate)]).bytes(|der| {
        let certificate = encode("CERTIFICATE", der);
        let _ = period(&certificate);
        is_ca(certificate, &ca.key)
    });
}

#[test]
fn no_key_of_a_ca_makes_the_reader_panic() {
    let ca = fixtures().unwrap().ca;
    // Nearly every bit of a key matters, so a key that merely parses counts as accepted.
    let is_key = |key: &str| Authority::parse(ca.certificate.clone(), key).is_ok() || KeyPair::from_pem(key).is_ok();
    fuzz::target("key of a CA").seeds([decode(&ca.key)]).bytes(|der| is_key(&encode("PRIVATE KEY", der)));
}

#[test]
fn a_certificate_for_a_request_names_the_user_only() {
    let fixtures = fixtures().unwrap();
    let authority = Authority::parse(fixtures.ca.certificate.clone(), &fixtures.ca.key).unwrap();
    let groups = ["sre".to_owned()];
    let sign = |request: &str| {
        let Ok(signed) = authority.sign_request(request, "alice", &groups, DAY) else { return false };
        let identity = Identity::of(&decode(&signed).into()).unwrap();
        assert_eq!((identity.user.as_str(), &identity.groups[..1]), ("alice", &groups[..]));
        true
    };
    assert!(sign(&fixtures.request));
    let request = decode(&fixtures.request);
    fuzz::target("certificate request").seeds([fixtures.request.as_bytes(), &request]).words(LINES).bytes(|input| {
        match std::str::from_utf8(input) {
            Ok(text) => sign(text),
            Err(_) => sign(&encode("CERTIFICATE REQUEST", input)),
        }
    });
}

#[test]
fn a_certificate_for_a_self_signed_request_names_the_user_too() {
    let fixtures = fixtures().unwrap();
    let authority = Authority::parse(fixtures.ca.certificate.clone(), &fixtures.ca.key).unwrap();
    let key = KeyPair::from_pem(&fixtures.client.key).unwrap();
    let request = decode(&fixtures.request);
    let parts: Vec<_> = yasna::parse_der(&request, |reader| reader.collect_sequence_of(|it| it.read_der())).unwrap();
    fuzz::target("signed certificate request").seeds([&parts[0]]).words(["\x0c\0", "\x06\0"]).bytes(|content| {
        let signature = key.sign(content).unwrap();
        let request = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_der(content);
                writer.next().write_der(&parts[1]);
                writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
            });
        });
        let request = encode("CERTIFICATE REQUEST", &request);
        let Ok(signed) = authority.sign_request(&request, "alice", &[], DAY) else { return false };
        assert_eq!(Identity::of(&decode(&signed).into()).unwrap().user, "alice");
        true
    });
}

#[test]
fn every_host_is_one_that_certificates_are_issued_for() {
    let seeds = ["localhost", "*.example.com", "10.0.0.1", "::1", "a.b-c.example"];
    let fixtures = fixtures().unwrap();
    let authority = Authority::parse(fixtures.ca.certificate, &fixtures.ca.key).unwrap();
    fuzz::target("host").seeds(seeds).words(["*.", ".", "-", ":", "%eth0"]).text(|text| {
        let Ok(host) = host(text) else { return false };
        authority.issue_server("x", vec![host], DAY).unwrap();
        true
    });
}
