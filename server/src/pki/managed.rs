//! The certificates that the server manages by itself: a CA in a Secret of its namespace, which is made if there is none,
//! and everything that follows from it.
//!
//! No replica leads here. Each reads the CA and issues itself a short-lived certificate; what they share is written with
//! the resource version that was read, so of two that write at once one begins again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{Api, Client, core::ObjectMeta};
use tracing::{info, warn};

use super::{Authority, DAY, Issued, end, params};
use crate::resources::GROUP;

/// How long a CA lasts.
const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// When a CA gets a successor by itself.
const CA_LEFT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How long the certificates of servers last: a stolen one is soon worthless.
const LIFETIME: Duration = DAY;

/// When such a certificate is replaced: a third of its life, so that an outage of the API server does not matter.
const LEFT: Duration = Duration::from_secs(8 * 60 * 60);

/// How long the CA of before stays trusted beside its successor: longer than a client's certificate lasts by default.
const OVERLAP: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The user of the chart's test, who has no rights.
const CHECK_USER: &str = "replica-count-manager:check";

/// The files in the Secrets.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITIES: &str = "ca.crt";

/// The certificate of the CA, signed by the one before it.
const CROSS: &str = "cross.crt";

/// Where the managed certificates are, and whom they are for.
#[derive(Args, Clone, Debug)]
pub struct ManagedArgs {
    /// Secret of the managed CA, and ConfigMap of its certificate
    #[arg(long, env, default_value = "replica-count-manager-ca", value_name = "NAME")]
    pub ca_secret: String,

    /// Secret of a client certificate without rights, for the chart's test; empty means none
    #[arg(long, env, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub check_secret: String,

    /// Names that managed server certificates are for
    #[arg(long, env, value_delimiter = ',', default_value = "localhost", value_name = "NAME,…")]
    pub server_names: Vec<String>,
}

/// A CA as it is stored.
struct Stored {
    authority: Authority,
    secret: Secret,
}

/// A server's certificate, with all that speaking TLS takes, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The chain, leaf first.
    pub chain: String,
    /// Its key.
    pub key: String,
    /// The authorities that clients may come from.
    pub authorities: String,
    ends: SystemTime,
    issuer: String,
}

/// Manages certificates.
pub struct Managed {
    args: ManagedArgs,
    secrets: Api<Secret>,
    maps: Api<ConfigMap>,
    /// The CA that was read last, to put back what somebody deletes.
    latest: Mutex<Option<Arc<Stored>>>,
}

impl Managed {
    /// With the account of a client, in a namespace.
    ///
    /// # Errors
    ///
    /// When the namespace is not given.
    pub fn new(client: &Client, args: ManagedArgs, namespace: &str) -> Result<Self> {
        ensure!(!namespace.is_empty(), "POD_NAMESPACE must name the namespace that the certificates are kept in");
        let secrets = Api::namespaced(client.clone(), namespace);
        let maps = Api::namespaced(client.clone(), namespace);
        Ok(Self { args, secrets, maps, latest: Mutex::default() })
    }

    /// The certificate to use from now on: the one that is in use, unless it is about to end or the CA is another.
    ///
    /// # Errors
    ///
    /// When the API server does not answer, or the Secret holds no usable CA.
    pub async fn certificate(&self, current: Option<&Certificate>) -> Result<Certificate> {
        let stored = self.stored().await?;
        let authorities = stored.text(AUTHORITIES)?;
        self.publish(&authorities).await.context("failed to publish the CA's certificate")?;
        if !self.args.check_secret.is_empty() {
            self.keep_check(&stored, &authorities).await.context("failed to keep the test's certificate")?;
        }
        let issuer = stored.authority.certificate().to_owned();
        if let Some(current) = current
            && current.issuer == issuer
            && current.ends > SystemTime::now() + LEFT
        {
            return Ok(Certificate { authorities, ..current.clone() });
        }
        let main = self.args.server_names.first().context("SERVER_NAMES is empty")?;
        let Issued { certificate, key } =
            stored.authority.issue_server(main, self.args.server_names.clone(), LIFETIME)?;
        let ends = end(&certificate)?;
        // Whoever trusts the CA of before trusts this one by it.
        let chain = certificate + &stored.text(CROSS).unwrap_or_default();
        Ok(Certificate { chain, key, authorities, ends, issuer })
    }

    /// The CA that signs now.
    ///
    /// # Errors
    ///
    /// When none was read yet.
    pub fn with_authority<T>(&self, sign: impl FnOnce(&Authority) -> Result<T>) -> Result<T> {
        let latest = self.latest().clone().context("the CA was not read yet")?;
        sign(&latest.authority)
    }

    /// Reads the CA; makes one if there is none, and a successor if one is asked for or due.
    async fn stored(&self) -> Result<Arc<Stored>> {
        let name = &self.args.ca_secret;
        let secret =
            match self.secrets.get_opt(name).await.with_context(|| format!("failed to read the Secret {name}"))? {
                Some(secret) => secret,
                None => self.create().await?,
            };
        let stored = Stored::parse(secret)
            .with_context(|| format!("the Secret {name} holds no usable CA; delete it to have one made"))?;
        let stored = match stored.next(SystemTime::now())? {
            None => stored,
            Some(next) => match self.secrets.replace(name, &params(), &next).await {
                Ok(secret) => {
                    info!(secret = name, "the CA was renewed");
                    Stored::parse(secret)?
                }
                // Another replica was faster: what it wrote is read next.
                Err(kube::Error::Api(status)) if status.is_conflict() => stored,
                Err(error) => return Err(error).with_context(|| format!("failed to write the Secret {name}")),
            },
        };
        let stored = Arc::new(stored);
        *self.latest() = Some(stored.clone());
        Ok(stored)
    }

    /// Creates the Secret, of the CA that is known if somebody has deleted it; that of another replica if it was faster.
    async fn create(&self) -> Result<Secret> {
        let name = &self.args.ca_secret;
        let known = self.latest().clone();
        let data = match &known {
            Some(stored) => stored.secret.data.clone().unwrap_or_default(),
            None => data_of(&Authority::new(CA_LIFETIME)?, None)?,
        };
        match self.secrets.create(&params(), &secret(name, data)).await {
            Ok(secret) => {
                warn!(secret = name, again = known.is_some(), "the Secret of the CA was missing and was created");
                Ok(secret)
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                self.secrets.get(name).await.with_context(|| format!("failed to read the Secret {name}"))
            }
            Err(error) => Err(error).with_context(|| format!("failed to create the Secret {name}")),
        }
    }

    /// Shows the CA's certificate, and never its key, to whoever may read the ConfigMap.
    async fn publish(&self, authorities: &str) -> Result<()> {
        let name = &self.args.ca_secret;
        let found = self.maps.get_opt(name).await?;
        let data = BTreeMap::from([(AUTHORITIES.to_owned(), authorities.to_owned())]);
        let settled = match found {
            Some(map) if map.data.as_ref() == Some(&data) => return Ok(()),
            Some(map) => self.maps.replace(name, &params(), &ConfigMap { data: Some(data), ..map }).await,
            None => {
                let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
                let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
                self.maps.create(&params(), &map).await
            }
        };
        settled_by_anybody(settled)
    }

    /// Keeps a client certificate for the chart's test.
    async fn keep_check(&self, stored: &Stored, authorities: &str) -> Result<()> {
        let name = &self.args.check_secret;
        let found = self.secrets.get_opt(name).await?;
        let text = |key| found.as_ref().and_then(|secret| text_of(secret, key).ok());
        let lasts =
            text(CERTIFICATE).and_then(|text| end(&text).ok()).is_some_and(|end| end > SystemTime::now() + LEFT);
        if lasts && text(AUTHORITIES).as_deref() == Some(authorities) {
            return Ok(());
        }
        let Issued { certificate, key } = stored.authority.issue_client(CHECK_USER, &[], LIFETIME)?;
        let data = [(CERTIFICATE, certificate), (KEY, key), (AUTHORITIES, authorities.to_owned())];
        let data = data.map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes()))).into();
        let settled = match found {
            Some(before) => {
                self.secrets.replace(name, &params(), &Secret { metadata: before.metadata, ..secret(name, data) }).await
            }
            None => self.secrets.create(&params(), &secret(name, data)).await,
        };
        settled_by_anybody(settled)
    }

    fn latest(&self) -> std::sync::MutexGuard<'_, Option<Arc<Stored>>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored {
    fn parse(secret: Secret) -> Result<Self> {
        let authority = Authority::parse(text_of(&secret, CERTIFICATE)?, &text_of(&secret, KEY)?)?;
        let authorities = text_of(&secret, AUTHORITIES)?;
        ensure!(authorities.contains(authority.certificate().trim()), "{AUTHORITIES} lacks the CA's own certificate");
        Ok(Self { authority, secret })
    }

    fn text(&self, key: &str) -> Result<String> {
        text_of(&self.secret, key)
    }

    /// The Secret with the CA's successor, or without the CA of before, if that is due.
    fn next(&self, now: SystemTime) -> Result<Option<Secret>> {
        let annotation = format!("{GROUP}/new-ca");
        let mut metadata = self.secret.metadata.clone();
        let asked = metadata.annotations.as_mut().is_some_and(|all| all.remove(&annotation).is_some());
        let data = if asked || self.authority.ends() < now + CA_LEFT {
            data_of(&Authority::new(CA_LIFETIME)?, Some(&self.authority))?
        } else if self.text(CROSS).is_ok() && self.authority.begins() + OVERLAP < now {
            data_of(&self.authority, None)?
        } else {
            return Ok(None);
        };
        Ok(Some(Secret { metadata, data: Some(data), ..self.secret.clone() }))
    }
}

/// What the Secret of a CA holds: trust in it and in the one before, and a certificate by which those who trust only that
/// one trust it.
fn data_of(authority: &Authority, before: Option<&Authority>) -> Result<BTreeMap<String, ByteString>> {
    let own = authority.certificate().to_owned();
    let mut data = vec![(CERTIFICATE, own.clone()), (KEY, authority.key())];
    match before {
        None => data.push((AUTHORITIES, own)),
        Some(before) => {
            data.push((AUTHORITIES, own + before.certificate()));
            data.push((CROSS, before.cross_sign(authority)?));
        }
    }
    Ok(data.into_iter().map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes()))).collect())
}

fn secret(name: &str, data: BTreeMap<String, ByteString>) -> Secret {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    Secret { metadata, data: Some(data), type_: Some("kubernetes.io/tls".to_owned()), ..Secret::default() }
}

fn text_of(secret: &Secret, key: &str) -> Result<String> {
    let bytes = secret.data.as_ref().and_then(|data| data.get(key)).with_context(|| format!("{key} is missing"))?;
    String::from_utf8(bytes.0.clone()).with_context(|| format!("{key} is no text"))
}

/// A write that another replica made first is as good as ours.
fn settled_by_anybody<T>(written: Result<T, kube::Error>) -> Result<()> {
    match written {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(data: BTreeMap<String, ByteString>, annotations: &[&str]) -> Stored {
        let mut secret = secret("ca", data);
        let annotations = annotations.iter().map(|name| ((*name).to_owned(), String::new()));
        secret.metadata.annotations = Some(annotations.collect());
        Stored::parse(secret).unwrap()
    }

    #[test]
    fn a_successor_comes_when_it_is_asked_for_or_due_and_the_one_before_goes_in_time() {
        let now = SystemTime::now();
        let ca = Authority::new(CA_LIFETIME).unwrap();
        let first = stored(data_of(&ca, None).unwrap(), &[]);
        assert!(first.next(now).unwrap().is_none());
        assert!(first.next(now + CA_LIFETIME - CA_LEFT + DAY).unwrap().is_some(), "it is about to end");

        let asked = stored(data_of(&ca, None).unwrap(), &["replica-count-manager.io/new-ca"]);
        let next = Stored::parse(asked.next(now).unwrap().unwrap()).unwrap();
        assert_ne!(next.authority.certificate(), ca.certificate());
        let authorities = next.text(AUTHORITIES).unwrap();
        assert!(authorities.contains(ca.certificate()) && authorities.contains(next.authority.certificate()));
        assert!(next.text(CROSS).is_ok());
        assert!(next.next(now).unwrap().is_none(), "once is enough");

        let alone = Stored::parse(next.next(now + OVERLAP + DAY).unwrap().unwrap()).unwrap();
        assert_eq!(alone.text(AUTHORITIES).unwrap(), next.authority.certificate());
        assert!(alone.text(CROSS).is_err());
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
            assert!(Stored::parse(secret("ca", data.clone())).is_err(), "{key}");
            data.remove(key);
            assert!(Stored::parse(secret("ca", data)).is_err(), "{key}");
        }
    }
}
