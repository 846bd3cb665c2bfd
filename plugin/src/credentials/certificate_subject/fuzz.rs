//! Certificates of logins.

use fuzz::x509::fixtures;
use jiff::Timestamp;

use super::CertificateSubject;

fn is_readable(certificate: &[u8]) -> bool {
    CertificateSubject::parse(certificate).is_some_and(|subject| {
        let _ = subject.is_due(Timestamp::now());
        true
    })
}

#[test]
fn no_certificate_makes_the_plugin_panic() {
    let pem = fixtures().unwrap().client.certificate;
    let words = ["-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", "-----", "\r\n"];
    fuzz::target("certificate of a login").seeds([pem]).words(words).bytes(is_readable);
}

#[test]
fn no_certificate_behind_pem_makes_the_plugin_panic() {
    let der = fixtures().unwrap().der;
    fuzz::target("certificate of a login in DER").seeds([der]).words(["\x17\r260101000000Z"]).bytes(|input| {
        let Ok(text) = serde_json::to_value(k8s_openapi::ByteString(input.to_vec())) else { return false };
        let text = text.as_str().unwrap_or_default().to_owned();
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        is_readable(pem.as_bytes())
    });
}
