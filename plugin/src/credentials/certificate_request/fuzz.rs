//! The status of a CertificateSigningRequest.

use k8s_openapi::api::certificates::v1::CertificateSigningRequestStatus;
use serde_json::json;

use super::find_refusal;

#[test]
fn no_request_makes_the_plugin_panic() {
    let conditions =
        json!([{"type": "Approved", "status": "True"}, {"type": "Denied", "status": "True", "message": ""}]);
    let seed = json!({"certificate": "UEVN", "conditions": conditions}).to_string();
    fuzz::target("status of a certificate request").seeds([seed]).words(["null", "Failed", "reason"]).bytes(|input| {
        let Ok(status) = serde_json::from_slice::<CertificateSigningRequestStatus>(input) else { return false };
        let _ = find_refusal(&status);
        true
    });
}
