//! Fuzz target: CertificateSigningRequests, which every authenticated user may create.

use std::time::Duration;

use fuzz::x509::fixtures;
use k8s_openapi::ByteString;
use serde_json::json;

use super::{CLIENT_SIGNER, Lenient, Request, Step, Subject, step};
use crate::{pki::Authority, tls::Identity};

#[test]
fn a_requester_gets_a_certificate_in_its_own_name() {
    let fixtures = fixtures().unwrap();
    let authority = Authority::parse(fixtures.ca.certificate, &fixtures.ca.key).unwrap();
    let request = |user: &str, conditions| {
        json!({
            "metadata": {"name": "r"},
            "spec": {"request": ByteString(fixtures.request.clone().into_bytes()), "signerName": CLIENT_SIGNER,
                     "username": user, "groups": ["sre", "system:authenticated"], "expirationSeconds": 3600,
                     "usages": ["digital signature", "client auth"]},
            "status": {"conditions": conditions},
        })
        .to_string()
    };
    let approved = json!([{"type": "Approved", "status": "True"}]);
    let seeds = [request("alice", json!([])), request("alice", approved.clone()), request(&"x".repeat(64), approved)];
    let words = ["\"Denied\"", "\"server auth\",", "\\u0000", "=", ",", "+", "CN=", "null", "system:masters"];
    fuzz::target("CertificateSigningRequest").seeds(seeds).words(words).bytes(|input| {
        let Ok(Ok(request)) = serde_json::from_slice::<Lenient<Request>>(input).map(Lenient::read) else {
            return false;
        };
        if let Step::Sign(Subject { user, groups }) = step(&request, true) {
            assert!(!groups.iter().any(|group| group.starts_with("system:")), "{groups:?}");
            let text = String::from_utf8_lossy(&request.spec.request.0);
            let Ok(signed) = authority.sign_request(&text, &user, &groups, Duration::from_secs(60)) else {
                return true;
            };
            let identity = Identity::of(&pem::parse(signed).unwrap().contents().into()).unwrap();
            assert_eq!((identity.user, &identity.groups[..groups.len()]), (user, &groups[..]));
        }
        true
    });
}
