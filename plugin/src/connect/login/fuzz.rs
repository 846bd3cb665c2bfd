//! The certificate of a login, and what became of a request for one.

use fuzz::x509::fixtures;
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequestStatus;
use serde_json::json;

use super::{Holder, refusal};

#[test]
fn no_certificate_makes_the_plugin_panic() {
    let pem = fixtures().unwrap().client.certificate;
    let words = ["-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", "-----", "\r\n"];
    fuzz::target("certificate of a login").seeds([pem]).words(words).bytes(|input| {
        let holder = Holder::of(input);
        holder.is_some_and(|holder| {
            let _ = holder.is_due(Timestamp::now());
            true
        })
    });
}

#[test]
fn no_certificate_behind_pem_makes_the_plugin_panic() {
    let der = fixtures().unwrap().der;
    fuzz::target("certificate of a login in DER").seeds([der]).words(["\x17\r260101000000Z"]).bytes(|input| {
        let Ok(text) = serde_json::to_value(k8s_openapi::ByteString(input.to_vec())) else { return false };
        let text = text.as_str().unwrap_or_default().to_owned();
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        Holder::of(pem.as_bytes()).is_some_and(|holder| {
            let _ = holder.is_due(Timestamp::now());
            true
        })
    });
}

#[test]
fn no_request_makes_the_plugin_panic() {
    let conditions =
        json!([{"type": "Approved", "status": "True"}, {"type": "Denied", "status": "True", "message": ""}]);
    let seed = json!({"certificate": "UEVN", "conditions": conditions}).to_string();
    fuzz::target("status of a certificate request").seeds([seed]).words(["null", "Failed", "reason"]).bytes(|input| {
        let Ok(status) = serde_json::from_slice::<CertificateSigningRequestStatus>(input) else { return false };
        let _ = refusal(&status);
        true
    });
}
