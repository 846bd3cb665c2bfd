//! The Secret of the managed CA: its content, and when it is renewed.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use contract::names::GROUP;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::core::ObjectMeta;

use super::authority::Authority;

/// How long a CA lasts.
pub(super) const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The remaining life at which a CA gets a successor by itself.
const CA_RENEW_BEFORE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The annotation of the Secret that requests a new CA.
const NEW_CA: &str = "new-ca";

/// The value of the annotation if the CA's key was stolen: the previous CA is not trusted any longer. With any other
/// value, it stays trusted for a while.
const STOLEN: &str = "stolen";

/// How long the previous CA stays trusted beside its successor: longer than a client's certificate lasts by default.
const OVERLAP: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The keys in the Secrets.
pub(super) const CERTIFICATE: &str = "tls.crt";
pub(super) const KEY: &str = "tls.key";
pub(super) const AUTHORITIES: &str = "ca.crt";

/// The key of the CA's certificate that the previous CA has signed.
pub(super) const CROSS: &str = "cross.crt";

/// A CA and the Secret that holds it.
pub(super) struct CaSecret {
    pub(super) authority: Authority,
    pub(super) secret: Secret,
}

impl CaSecret {
    pub(super) fn parse(secret: Secret) -> Result<Self> {
        let authority = Authority::parse(text_of(&secret, CERTIFICATE)?, &text_of(&secret, KEY)?)?;
        let authorities = text_of(&secret, AUTHORITIES)?;
        ensure!(authorities.contains(authority.certificate().trim()), "{AUTHORITIES} lacks the CA's own certificate");
        Ok(Self { authority, secret })
    }

    pub(super) fn text(&self, key: &str) -> Result<String> {
        text_of(&self.secret, key)
    }

    /// The Secret to write now: with a successor of the CA, or without the previous CA. `None` if neither is due.
    pub(super) fn next(&self, now: SystemTime) -> Result<Option<Secret>> {
        let annotation = format!("{GROUP}/{NEW_CA}");
        let mut metadata = self.secret.metadata.clone();
        let requested = metadata.annotations.as_mut().and_then(|all| all.remove(&annotation));
        let data = if requested.as_deref() == Some(STOLEN) {
            data_of(&Authority::new(CA_LIFETIME)?, None)?
        } else if requested.is_some() || self.authority.ends() < now + CA_RENEW_BEFORE {
            data_of(&Authority::new(CA_LIFETIME)?, Some(&self.authority))?
        } else if self.text(CROSS).is_ok() && self.authority.begins() + OVERLAP < now {
            data_of(&self.authority, None)?
        } else {
            return Ok(None);
        };
        Ok(Some(Secret { metadata, data: Some(data), ..self.secret.clone() }))
    }
}

/// The content of a CA's Secret. If there is a previous CA, it holds both as authorities. It also holds the new CA's
/// certificate signed by the previous CA, by which peers that trust only the previous CA accept the new one.
pub(super) fn data_of(authority: &Authority, previous: Option<&Authority>) -> Result<BTreeMap<String, ByteString>> {
    let own = authority.certificate().to_owned();
    let mut data = vec![(CERTIFICATE, own.clone()), (KEY, authority.key())];
    match previous {
        None => data.push((AUTHORITIES, own)),
        Some(previous) => {
            data.push((AUTHORITIES, own + previous.certificate()));
            data.push((CROSS, previous.cross_sign(authority)?));
        }
    }
    Ok(data.into_iter().map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes()))).collect())
}

/// A TLS Secret.
pub(super) fn secret(name: &str, data: BTreeMap<String, ByteString>) -> Secret {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    Secret { metadata, data: Some(data), type_: Some("kubernetes.io/tls".to_owned()), ..Secret::default() }
}

/// The text under a key of a Secret.
pub(super) fn text_of(secret: &Secret, key: &str) -> Result<String> {
    let bytes = secret.data.as_ref().and_then(|data| data.get(key)).with_context(|| format!("{key} is missing"))?;
    String::from_utf8(bytes.0.clone()).with_context(|| format!("{key} is not text"))
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::DAY;

    fn ca_secret(data: BTreeMap<String, ByteString>, annotations: &[&str]) -> CaSecret {
        let mut secret = secret("ca", data);
        let annotations = annotations.iter().map(|name| ((*name).to_owned(), String::new()));
        secret.metadata.annotations = Some(annotations.collect());
        CaSecret::parse(secret).unwrap()
    }

    #[test]
    fn a_successor_comes_when_it_is_requested_or_due_and_the_previous_ca_goes_in_time() {
        let now = SystemTime::now();
        let ca = Authority::new(CA_LIFETIME).unwrap();
        let first = ca_secret(data_of(&ca, None).unwrap(), &[]);
        assert!(first.next(now).unwrap().is_none());
        assert!(first.next(now + CA_LIFETIME - CA_RENEW_BEFORE + DAY).unwrap().is_some(), "it is about to end");

        let requested = ca_secret(data_of(&ca, None).unwrap(), &["replica-count-manager.io/new-ca"]);
        let next = CaSecret::parse(requested.next(now).unwrap().unwrap()).unwrap();
        assert_ne!(next.authority.certificate(), ca.certificate());
        let authorities = next.text(AUTHORITIES).unwrap();
        assert!(authorities.contains(ca.certificate()) && authorities.contains(next.authority.certificate()));
        assert!(next.text(CROSS).is_ok());
        assert!(next.next(now).unwrap().is_none(), "once is enough");

        let alone = CaSecret::parse(next.next(now + OVERLAP + DAY).unwrap().unwrap()).unwrap();
        assert_eq!(alone.text(AUTHORITIES).unwrap(), next.authority.certificate());
        assert!(alone.text(CROSS).is_err());
    }

    #[test]
    fn a_stolen_ca_is_replaced_by_one_that_does_not_vouch_for_it() {
        let ca = Authority::new(CA_LIFETIME).unwrap();
        let overlapping = data_of(&ca, Some(&Authority::new(CA_LIFETIME).unwrap())).unwrap();
        for data in [data_of(&ca, None).unwrap(), overlapping] {
            let mut stolen = ca_secret(data, &[]);
            let annotation = ("replica-count-manager.io/new-ca".to_owned(), "stolen".to_owned());
            stolen.secret.metadata.annotations = Some(BTreeMap::from([annotation]));
            let next = CaSecret::parse(stolen.next(SystemTime::now()).unwrap().unwrap()).unwrap();
            assert_ne!(next.authority.certificate(), ca.certificate());
            assert_eq!(next.text(AUTHORITIES).unwrap(), next.authority.certificate());
            assert!(next.text(CROSS).is_err());
            assert!(next.next(SystemTime::now()).unwrap().is_none(), "once is enough");
        }
    }

    #[test]
    fn a_secret_that_is_damaged_is_refused_part_by_part() {
        let (ca, other) = (Authority::new(DAY).unwrap(), Authority::new(DAY).unwrap());
        for (key, value) in [
            (CERTIFICATE, "x"),
            (CERTIFICATE, other.certificate()),
            (KEY, "x"),
            (KEY, &other.key()),
            (AUTHORITIES, other.certificate()),
        ] {
            let mut data = data_of(&ca, None).unwrap();
            data.insert(key.to_owned(), ByteString(value.as_bytes().to_vec()));
            assert!(CaSecret::parse(secret("ca", data.clone())).is_err(), "{key}");
            data.remove(key);
            assert!(CaSecret::parse(secret("ca", data)).is_err(), "{key}");
        }
    }
}
