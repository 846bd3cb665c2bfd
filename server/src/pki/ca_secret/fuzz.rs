//! Fuzz target: the Secret of the CA.

use std::time::SystemTime;

use fuzz::x509::fixtures;
use k8s_openapi::ByteString;

use super::{AUTHORITIES, CERTIFICATE, CaSecret, KEY, secret};

#[test]
fn no_secret_makes_the_reader_panic() {
    let ca = fixtures().unwrap().ca;
    let data = [(CERTIFICATE, &ca.certificate), (KEY, &ca.key), (AUTHORITIES, &ca.certificate)];
    let data = data.map(|(name, text)| (name.to_owned(), ByteString(text.clone().into_bytes()))).into();
    let mut object = secret("ca", data);
    object.metadata.annotations = Some([("a".to_owned(), "b".to_owned())].into());
    let seed = serde_json::to_vec(&object).unwrap();
    fuzz::target("Secret of a CA").seeds([seed]).words(["tls.crt", "tls.key", "ca.crt", "null", "="]).bytes(|input| {
        let Ok(ca) = serde_json::from_slice(input).map_err(anyhow::Error::from).and_then(CaSecret::parse) else {
            return false;
        };
        let _ = (ca.text(AUTHORITIES).unwrap(), ca.next(SystemTime::now()).unwrap());
        true
    });
}
