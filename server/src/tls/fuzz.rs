//! Certificates of clients, and the server's files.

use fuzz::x509::{Fixtures, fixtures};

use super::{Content, Files, Identity};

fn files() -> Files {
    Files { certificate: "tls.crt".into(), key: "tls.key".into(), ca: "ca.crt".into() }
}

fn content(fixtures: &Fixtures) -> Content {
    let [certificate, key, ca] =
        [&fixtures.client.certificate, &fixtures.client.key, &fixtures.ca.certificate].map(|pem| pem.clone().into());
    Content { certificate, key, ca, managed: None }
}

/// Whether the server can use it; no error shows what is in a file.
fn is_usable(content: &Content) -> bool {
    match files().load(content) {
        Ok(loaded) => loaded.expires > i64::MIN,
        Err(error) => {
            assert!(error.to_string().len() < 200);
            false
        }
    }
}

#[test]
fn no_certificate_makes_the_reader_of_identities_panic() {
    fuzz::target("client certificate").seeds([fixtures().unwrap().der]).words(["alice", "\x0c\0"]).bytes(|input| {
        let identity = Identity::of(&input.into());
        assert!(identity.as_ref().is_none_or(|one| one.groups.last().is_some_and(|it| it == "system:authenticated")));
        identity.is_some()
    });
}

#[test]
fn no_file_makes_the_server_panic() {
    let fixtures = fixtures().unwrap();
    let good = content(&fixtures);
    let words =
        ["-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", "-----BEGIN PRIVATE KEY-----\n", "-----"];
    let seeds = [&good.certificate, &good.key, &good.ca];
    fuzz::target("certificate files").seeds(seeds).words(words).bytes(|input| {
        let certificate = is_usable(&Content { certificate: input.into(), ..good.clone() });
        let key = is_usable(&Content { key: input.into(), ..good.clone() });
        certificate || key || is_usable(&Content { ca: input.into(), ..good.clone() })
    });
}

#[test]
fn no_certificate_in_a_file_makes_the_server_panic() {
    let fixtures = fixtures().unwrap();
    let good = content(&fixtures);
    let ca = pem::parse(&good.ca).unwrap().into_contents();
    fuzz::target("certificates in files").seeds([fixtures.der, ca]).bytes(|input| {
        let input = pem::encode(&pem::Pem::new("CERTIFICATE", input)).into_bytes();
        let certificate = is_usable(&Content { certificate: input.clone(), ..good.clone() });
        certificate || is_usable(&Content { ca: input, ..good.clone() })
    });
}
