//! The certificates that the server manages by itself: a CA in a Secret of its namespace, which it creates if there is
//! none, and the certificates that this CA signs.
//!
//! All replicas do this, without a leader. Each reads the CA and issues itself a short-lived certificate. They write
//! shared objects with the resource version that they read, so of two concurrent writes one fails, and reads again.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{Api, Client, core::ObjectMeta};
use parking_lot::Mutex;
use tracing::{debug, info, warn};

use super::{
    authority::{Authority, DAY, Issued, period},
    ca_secret::{AUTHORITIES, CA_LIFETIME, CERTIFICATE, CROSS, CaSecret, KEY, data_of, secret, text_of},
    not_before::NotBefore,
};
use crate::{
    resources::{Lenient, Repair, api_errors},
    runtime::{client::post_params, object_labels::ObjectLabels, pod::PodArgs},
    telemetry,
};

/// How long the certificates of servers last: a stolen one is soon worthless.
const LIFETIME: Duration = DAY;

/// The remaining life at which such a certificate is renewed: a third, so that the certificate outlasts an outage of the
/// API server of almost 8 h.
const RENEW_BEFORE: Duration = Duration::from_secs(8 * 60 * 60);

/// The user of the chart's test, who has no rights.
const CHECK_USER: &str = "replica-count-manager:check";

/// Where the managed certificates are kept, and the names that they are for.
#[derive(Args, Clone, Debug)]
pub struct ManagedArgs {
    /// Name of the Secret of the managed CA, and of the ConfigMap with its certificate
    #[arg(long, env, default_value = "replica-count-manager-ca", value_name = "NAME")]
    pub(crate) ca_secret: String,

    /// Name of the Secret of a client certificate without rights, for the chart's test; empty means none
    #[arg(long, env, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub(crate) check_secret: String,

    /// Names that managed server certificates are valid for
    #[arg(long, env, value_delimiter = ',', default_value = "localhost", value_name = "NAME,…")]
    pub(crate) server_names: Vec<String>,
}

/// A server's certificate, its key, and the authorities of its clients, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ManagedCertificate {
    /// The chain, leaf first.
    pub(crate) chain: String,
    pub(crate) key: String,
    pub(crate) authorities: String,
    ends: SystemTime,
    issuer: String,
}

impl Repair for Secret {}

impl Repair for ConfigMap {}

/// Manages a CA and the certificates that it signs.
pub(crate) struct ManagedCertificates {
    args: ManagedArgs,
    secrets: Api<Lenient<Secret>>,
    config_maps: Api<Lenient<ConfigMap>>,
    labels: ObjectLabels,
    not_before: Arc<NotBefore>,
    /// The CA that was read last. If somebody deletes its Secret, it is created again from this.
    latest: Mutex<Option<Arc<CaSecret>>>,
}

impl ManagedCertificates {
    /// Keeps the certificates in the namespace of the pod. Those of clients do not begin before the time in `not_before`.
    ///
    /// # Errors
    ///
    /// When the namespace is not given.
    pub(crate) fn new(client: &Client, args: ManagedArgs, pod: &PodArgs, not_before: Arc<NotBefore>) -> Result<Self> {
        let namespace = &pod.pod_namespace;
        ensure!(!namespace.is_empty(), "POD_NAMESPACE must name the namespace of the managed certificates");
        let secrets = Api::namespaced(client.clone(), namespace);
        let config_maps = Api::namespaced(client.clone(), namespace);
        let labels = pod.object_labels.clone();
        Ok(Self { args, secrets, config_maps, labels, not_before, latest: Mutex::default() })
    }

    /// The certificate to use from now on: the current one, unless it is about to end or the CA has changed.
    ///
    /// # Errors
    ///
    /// When the API server does not answer, or the Secret holds no usable CA.
    pub(crate) async fn certificate(&self, current: Option<&ManagedCertificate>) -> Result<ManagedCertificate> {
        let ca = self.read_ca().await?;
        let authorities = ca.text(AUTHORITIES)?;
        let issuer = ca.authority.certificate().to_owned();
        if let Some(current) = current
            && current.issuer == issuer
            && current.ends > SystemTime::now() + RENEW_BEFORE
        {
            return Ok(ManagedCertificate { authorities, ..current.clone() });
        }
        let main = self.args.server_names.first().context("SERVER_NAMES is empty")?;
        let Issued { certificate, key } = ca.authority.issue_server(main, self.args.server_names.clone(), LIFETIME)?;
        let (_, ends) = period(&certificate)?;
        // With the cross-signed certificate, clients that trust only the previous CA accept the chain.
        let chain = certificate + &ca.text(CROSS).unwrap_or_default();
        Ok(ManagedCertificate { chain, key, authorities, ends, issuer })
    }

    /// The authorities of clients, if the server's certificate is from another CA.
    ///
    /// # Errors
    ///
    /// When the API server does not answer, or the Secret holds no usable CA.
    pub(crate) async fn client_authorities(&self) -> Result<String> {
        self.read_ca().await?.text(AUTHORITIES)
    }

    /// Gives clients what they need to trust the server, by the CA that was read last: the authorities of its certificate,
    /// and the newest one's certificate as the previous one has signed it, if there is such a certificate. If the server's
    /// certificate is from another CA, `server_authorities` are those of that one.
    ///
    /// # Errors
    ///
    /// When no CA was read yet, or the API server refuses or does not answer. The server can use what it has read
    /// nevertheless.
    pub(crate) async fn serve_clients(&self, server_authorities: Option<&str>) -> Result<()> {
        let ca = self.latest.lock().clone().context("the CA was not read yet")?;
        let (authorities, cross) = match server_authorities {
            Some(authorities) => (authorities.to_owned(), None),
            None => (ca.text(AUTHORITIES)?, ca.text(CROSS).ok()),
        };
        self.publish(&authorities, cross).await.context("failed to publish the CA's certificate")?;
        if self.args.check_secret.is_empty() {
            return Ok(());
        }
        self.renew_check_certificate(&ca, &authorities)
            .await
            .context("failed to renew the certificate of the chart's test")
    }

    /// Signs with the CA that was read last.
    ///
    /// # Errors
    ///
    /// When no CA was read yet, or `sign` fails.
    pub(super) fn with_authority<T>(&self, sign: impl FnOnce(&Authority) -> Result<T>) -> Result<T> {
        let latest = self.latest.lock().clone().context("the CA was not read yet")?;
        sign(&latest.authority)
    }

    /// Reads the CA. Creates one if there is none, and renews it if that is requested or due.
    async fn read_ca(&self) -> Result<Arc<CaSecret>> {
        let name = &self.args.ca_secret;
        let secret =
            match self.secrets.get_opt(name).await.with_context(|| format!("failed to read the Secret {name}"))? {
                Some(secret) => secret,
                None => self.create().await?,
            };
        let ca = parse(secret)
            .with_context(|| format!("the Secret {name} holds no usable CA; delete it to have one made"))?;
        let ca = match ca.next(SystemTime::now())? {
            None => self.label(ca).await,
            Some(mut next) => {
                self.labels.add_to(&mut next.metadata);
                match self.secrets.replace(name, &post_params(), &next.into()).await {
                    Ok(secret) => {
                        info!(secret = name, "the CA was renewed");
                        parse(secret)?
                    }
                    // Another replica was faster. The next read gets what it wrote.
                    Err(kube::Error::Api(status)) if status.is_conflict() => ca,
                    Err(error) => return Err(error).with_context(|| format!("failed to write the Secret {name}")),
                }
            }
        };
        let authority = ca.authority.with_clients_not_before(self.not_before.latest());
        let ca = Arc::new(CaSecret { authority, ..ca });
        *self.latest.lock() = Some(ca.clone());
        Ok(ca)
    }

    /// Labels the Secret of a CA, as one that an earlier version has made. The CA is good without labels, too.
    async fn label(&self, ca: CaSecret) -> CaSecret {
        let mut secret = ca.secret.clone();
        if !self.labels.add_to(&mut secret.metadata) {
            return ca;
        }
        let written = async {
            anyhow::Ok(self.secrets.replace(&self.args.ca_secret, &post_params(), &secret.into()).await?.read()?)
        };
        match written.await {
            Ok(secret) => CaSecret { secret, ..ca },
            Err(error) => {
                debug!(secret = self.args.ca_secret, error = telemetry::chain(&*error), "the Secret was not labelled");
                ca
            }
        }
    }

    /// Creates the Secret of a new CA. If somebody has deleted the Secret, it creates it again from the CA that was
    /// read last. If another replica was faster, it reads that replica's Secret.
    async fn create(&self) -> Result<Lenient<Secret>> {
        let name = &self.args.ca_secret;
        let known = self.latest.lock().clone();
        let data = match &known {
            Some(ca) => ca.secret.data.clone().unwrap_or_default(),
            None => data_of(&Authority::new(CA_LIFETIME)?, None)?,
        };
        let mut secret = secret(name, data);
        self.labels.add_to(&mut secret.metadata);
        match self.secrets.create(&post_params(), &secret.into()).await {
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

    /// Publishes the authorities' certificates, without any key, in a ConfigMap. With the cross-signed certificate,
    /// clients that trust only the previous CA can verify the new one.
    async fn publish(&self, authorities: &str, cross: Option<String>) -> Result<()> {
        let name = &self.args.ca_secret;
        let found = self.config_maps.get_opt(name).await?.map(Lenient::read).transpose()?;
        let authorities = (AUTHORITIES.to_owned(), authorities.to_owned());
        let cross = cross.map(|cross| (CROSS.to_owned(), cross));
        let data = Some([authorities].into_iter().chain(cross).collect::<BTreeMap<_, _>>());
        let is_new = found.is_none();
        let new = || ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let mut map = found.unwrap_or_else(|| ConfigMap { metadata: new(), ..ConfigMap::default() });
        let is_relabelled = self.labels.add_to(&mut map.metadata);
        if map.data == data && !is_relabelled {
            return Ok(());
        }
        let map = Lenient::from(ConfigMap { data, ..map });
        accept_lost_race(match is_new {
            true => self.config_maps.create(&post_params(), &map).await,
            false => self.config_maps.replace(name, &post_params(), &map).await,
        })
    }

    /// Renews the client certificate of the chart's test, if that is due.
    async fn renew_check_certificate(&self, ca: &CaSecret, authorities: &str) -> Result<()> {
        let name = &self.args.check_secret;
        let found = self.secrets.get_opt(name).await?.map(Lenient::read).transpose()?;
        let text = |key| found.as_ref().and_then(|secret| text_of(secret, key).ok());
        let lasts = text(CERTIFICATE).and_then(|text| period(&text).ok()).is_some_and(|(begin, end)| {
            end > SystemTime::now() + RENEW_BEFORE && self.not_before.latest().is_none_or(|earliest| begin >= earliest)
        });
        let is_new = found.is_none();
        let has_authorities = text(AUTHORITIES).as_deref() == Some(authorities);
        let mut metadata = found.map_or_else(|| secret(name, BTreeMap::new()).metadata, |before| before.metadata);
        let is_relabelled = self.labels.add_to(&mut metadata);
        if lasts && has_authorities && !is_relabelled {
            return Ok(());
        }
        let Issued { certificate, key } = ca.authority.issue_client(CHECK_USER, &[], LIFETIME)?;
        let data = [(CERTIFICATE, certificate), (KEY, key), (AUTHORITIES, authorities.to_owned())];
        let data = data.map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes()))).into();
        let secret = Lenient::from(Secret { metadata, ..secret(name, data) });
        accept_lost_race(match is_new {
            true => self.secrets.create(&post_params(), &secret).await,
            false => self.secrets.replace(name, &post_params(), &secret).await,
        })
    }
}

/// Reads the CA in a Secret.
fn parse(secret: Lenient<Secret>) -> Result<CaSecret> {
    CaSecret::parse(secret.read()?)
}

/// Treats a write that another replica made first like our own.
fn accept_lost_race<T>(written: Result<T, kube::Error>) -> Result<()> {
    match written {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if api_errors::is_lost_race(&status) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
