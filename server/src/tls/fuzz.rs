//! Fuzz targets: certificates of clients, and the server's files.

use fuzz::x509::{Fixtures, fixtures};

use super::{
    clients::ClientCa,
    files::{Files, PemBundle},
    identity::Identity,
};

fn files() -> Files {
    Files { certificate: "tls.crt".into(), key: "tls.key".into(), ca: "ca.crt".into() }
}

fn bundle(fixtures: &Fixtures) -> PemBundle {
    let [certificate, key, authorities] =
        [&fixtures.client.certificate, &fixtures.client.key, &fixtures.ca.certificate].map(|pem| pem.clone().into());
    PemBundle { certificate, key, authorities }
}

/// Whether the server can use a bundle. No error shows what is in a file.
fn is_usable(pem: &PemBundle) -> bool {
    match files().check(pem, ClientCa::Managed, None) {
        Ok(certificate) => certificate.expires > i64::MIN,
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
    let good = bundle(&fixtures);
    let words =
        ["-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", "-----BEGIN PRIVATE KEY-----\n", "-----"];
    let seeds = [&good.certificate, &good.key, &good.authorities];
    fuzz::target("certificate files").seeds(seeds).words(words).bytes(|input| {
        let certificate = is_usable(&PemBundle { certificate: input.into(), ..good.clone() });
        let key = is_usable(&PemBundle { key: input.into(), ..good.clone() });
        certificate || key || is_usable(&PemBundle { authorities: input.into(), ..good.clone() })
    });
}

#[test]
fn no_certificate_in_a_file_makes_the_server_panic() {
    let fixtures = fixtures().unwrap();
    let good = bundle(&fixtures);
    let ca = pem::parse(&good.authorities).unwrap().into_contents();
    fuzz::target("certificates in files").seeds([fixtures.der, ca]).bytes(|input| {
        let input = pem::encode(&pem::Pem::new("CERTIFICATE", input)).into_bytes();
        let certificate = is_usable(&PemBundle { certificate: input.clone(), ..good.clone() });
        certificate || is_usable(&PemBundle { authorities: input, ..good.clone() })
    });
}
