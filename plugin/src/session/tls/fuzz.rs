//! The configured certificates and key.

use fuzz::x509::fixtures;

use super::{Settings, client_config};
use crate::config::{Material, ServiceRef};

/// Settings with a CA, a certificate and a key in PEM.
fn settings([ca, certificate, key]: [&[u8]; 3]) -> Settings {
    let [ca, certificate, key] = [ca, certificate, key].map(|pem| Some(Material::Inline(pem.to_vec())));
    let service = ServiceRef::default();
    Settings {
        ca,
        certificate,
        key,
        server_name: None,
        service,
        address: None,
        path: None,
        login_ca: None,
        login: None,
    }
}

fn is_usable(pems: [&[u8]; 3]) -> bool {
    match client_config(&settings(pems), Some("a")) {
        Ok(_) => true,
        Err(error) => {
            assert!(!format!("{error} {error:?} {:?}", error.hint()).contains("PRIVATE KEY"));
            false
        }
    }
}

#[test]
fn no_pem_makes_the_plugin_panic() {
    let fixtures = fixtures().unwrap();
    let (ca, certificate, key) = (&fixtures.ca.certificate, &fixtures.client.certificate, &fixtures.client.key);
    let [ca, certificate, key] = [ca, certificate, key].map(|pem| pem.as_bytes());
    let words =
        ["-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", "-----BEGIN EC PRIVATE KEY-----\n", "-----"];
    fuzz::target("certificates and keys of the plugin").seeds([ca, certificate, key]).words(words).bytes(|input| {
        let as_certificate = is_usable([ca, input, key]);
        is_usable([input, certificate, key]) || as_certificate || is_usable([ca, certificate, input])
    });
}
