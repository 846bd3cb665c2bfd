use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

use super::*;
use crate::config::ServiceRef;

fn pem(text: String) -> Option<Material> {
    Some(Material::Inline(text.into_bytes()))
}

/// Valid settings, with one self-signed certificate for everything.
fn settings() -> Settings {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "alice");
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    Settings {
        ca: pem(certificate.clone()),
        certificate: pem(certificate),
        key: pem(key.serialize_pem()),
        server_name: None,
        service: ServiceRef::default(),
        address: None,
        path: Some("/home/me/config.yaml".into()),
        login_ca: None,
        login: None,
    }
}

fn refusal(settings: &Settings) -> Error {
    client_config(settings, Some("shop")).unwrap_err()
}

#[test]
fn a_certificate_with_its_key_is_used_for_http2() {
    assert_eq!(client_config(&settings(), None).unwrap().alpn_protocols, [ALPN]);
}

#[test]
fn the_hint_for_a_missing_certificate_has_an_example() {
    let error = refusal(&Settings { certificate: None, ..settings() });
    assert_eq!(error.to_string(), "no client certificate is configured");
    let hint = error.hint().unwrap();
    assert!(hint.contains("add it to /home/me/config.yaml:\n    contexts:\n      shop:\n        ca: "), "{hint}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = refusal(&Settings { ca: Some(Material::File("/nonexistent/ca.crt".into())), ..settings() });
    assert_eq!(error.to_string(), "failed to read the CA certificate /nonexistent/ca.crt");
}

#[test]
fn a_key_of_another_certificate_and_a_broken_key_have_their_errors() {
    let other = KeyPair::generate().unwrap().serialize_pem();
    assert!(matches!(refusal(&Settings { key: pem(other), ..settings() }), Error::OtherKey(_)));
    let error = refusal(&Settings { key: pem("no key".to_owned()), ..settings() });
    assert_eq!(error.to_string(), "(inline) holds no key in PEM");
}

#[test]
fn an_imported_certificate_that_this_ca_would_refuse_says_why() {
    let made = |is_ca: IsCa| {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = is_ca;
        let key = KeyPair::generate().unwrap();
        [params.self_signed(&key).unwrap().pem(), key.serialize_pem()].map(|text| pem(text).unwrap())
    };
    let ca = || IsCa::Ca(BasicConstraints::Unconstrained);
    let [other, _] = made(ca());
    let [own, own_key] = made(ca());
    let [client, key] = made(IsCa::NoCa);
    for (name, ca, certificate, key, expected) in [
        ("a CA", own.clone(), own, own_key, "the certificate is a CA's own, not a client's"),
        ("of another CA", other, client, key, "the certificate is not signed by this CA"),
    ] {
        assert_eq!(check_import(ca, certificate, key).unwrap().as_deref(), Some(expected), "{name}");
    }
}

#[test]
fn an_expired_or_future_certificate_is_refused_before_any_connection() {
    let settings = settings();
    let origin = settings.certificate.unwrap();
    let chain = read_chain("client certificate", &origin).unwrap();
    let check = |now: &str| check_validity(&origin, &chain, now.parse().unwrap());
    assert!(check("2026-01-01T00:00:00Z").is_ok());
    let expired = check("5000-01-01T00:00:00Z").unwrap_err();
    assert!(expired.to_string().starts_with("the client certificate of alice expired at 4096-01-01T"), "{expired}");
    assert!(matches!(check("1970-01-01T00:00:00Z"), Err(Error::NotYet { .. })));
}

#[test]
fn the_key_is_in_a_file_of_its_own_or_in_the_configuration() {
    let imported = Material::Imported { from: "a Secret".to_owned(), content: Vec::new() };
    for (name, key, file) in [
        ("a file", Some(Material::File("/home/me/client.key".into())), Some("/home/me/client.key")),
        ("the data of a login", pem(String::new()), Some("/home/me/config.yaml")),
        ("an import", Some(imported), None),
        ("none", None, None),
    ] {
        assert_eq!(key_file(&Settings { key, ..settings() }), file.map(Path::new), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_read_is_exposed() {
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::temp_dir().join(format!("exposed-key-{}", std::process::id()));
    fs::write(&path, "key").unwrap();
    for (mode, expected) in [(0o600, false), (0o640, true), (0o604, true), (0o622, false)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(is_exposed(&path), expected, "{mode:o}");
    }
    fs::remove_file(&path).unwrap();
    assert!(!is_exposed(&path), "it is not there");
}
