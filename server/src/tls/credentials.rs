//! The server's certificate and what it accepts of clients, read again when they change: open connections stay if their
//! certificate is still accepted, new ones get the new certificate.

use std::{
    mem::{self, Discriminant, discriminant},
    sync::Arc,
    time::Duration,
};

use anyhow::anyhow;
use backon::{BackoffBuilder, ExponentialBuilder};
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use kube::runtime::events::EventType;
use rustls::ServerConfig;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_stream::wrappers::WatchStream;
use tracing::{info, warn};

use super::{
    clients::ClientCa,
    files::{Error, Files, PemBundle, ServerCertificate},
};
use crate::{
    pki::{
        NotBefore,
        managed::{ManagedCertificate, ManagedCertificates},
    },
    runtime::pod::PodEvents,
    telemetry::{self, Metrics},
};

/// How often the certificate is read. A Secret's volume swaps a symlink, which file watches miss.
const INTERVAL: Duration = Duration::from_secs(5);

/// The pause after the first failure to load it at the start. It grows up to [`INTERVAL`].
const MIN_PAUSE: Duration = Duration::from_millis(200);

/// The longest time that reading it may take: a managed one needs the API server.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the server's certificate, its key and its authorities come from.
#[derive(Clone)]
pub(crate) enum PemSource {
    /// Files that others renew.
    Files(Files),
    /// The CA that the server manages.
    Managed(Arc<ManagedCertificates>),
    /// Files that others renew for the server, and the managed CA for clients.
    ManagedClients(Files, Arc<ManagedCertificates>),
}

/// What the server accepts of clients.
#[derive(Clone)]
pub(crate) struct ClientRules {
    /// The CA that their certificates must come from.
    pub(crate) ca: ClientCa,
    /// The time before which their certificates may not begin.
    pub(crate) not_before: Arc<NotBefore>,
}

/// A certificate as it was read.
#[derive(Clone, PartialEq, Eq)]
struct ReadCertificate {
    pem: PemBundle,
    not_before: Option<Timestamp>,
    /// The certificate that `pem` was made from, if the server manages it.
    managed: Option<ManagedCertificate>,
}

/// Why a read is not a success.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the certificate cannot be used, the previous one stays in use")]
    Unusable(#[from] anyhow::Error),
    #[error("the certificate is in use, but clients are not given what they need to trust it")]
    Unserved(#[source] anyhow::Error),
}

/// The certificate in use.
pub(crate) struct Credentials {
    source: PemSource,
    rules: ClientRules,
    current: watch::Sender<Arc<ServerCertificate>>,
    events: PodEvents,
    metrics: Arc<Metrics>,
    first: ReadCertificate,
}

impl Credentials {
    /// Reads and checks the certificate.
    ///
    /// # Errors
    ///
    /// Names what cannot be used, and why.
    pub(crate) async fn load(
        source: PemSource,
        rules: ClientRules,
        events: PodEvents,
        metrics: Arc<Metrics>,
    ) -> Result<Self, anyhow::Error> {
        let first = source.read_first(&rules).await?;
        Ok(Self::new(source, rules, first, events, metrics))
    }

    /// Loads the certificate as soon as that is possible: a managed one needs the API server, which may start later.
    pub(crate) async fn wait_until_loaded(
        source: PemSource,
        rules: ClientRules,
        events: PodEvents,
        metrics: Arc<Metrics>,
    ) -> Self {
        let pauses = ExponentialBuilder::new().with_min_delay(MIN_PAUSE).with_max_delay(INTERVAL).without_max_times();
        let mut pauses = pauses.build();
        let mut is_reported = false;
        let first = loop {
            let read = timeout(TIMEOUT, source.read_first(&rules)).await;
            match read.unwrap_or_else(|_| Err(anyhow!("no answer within {TIMEOUT:?}"))) {
                Ok(first) => break first,
                Err(error) => {
                    metrics.certificate_failures.inc();
                    if !mem::replace(&mut is_reported, true) {
                        let error = telemetry::chain(error.as_ref());
                        warn!(error, "the certificate cannot be loaded, trying again: no call is served until then");
                    }
                }
            }
            sleep(pauses.next().unwrap_or(INTERVAL)).await;
        };
        // If this fails, the next read reports it. Calls can be served either way.
        let _ = timeout(TIMEOUT, source.serve_clients()).await;
        info!(expires = first.1.expires, "certificate loaded");
        Self::new(source, rules, first, events, metrics)
    }

    fn new(
        source: PemSource,
        rules: ClientRules,
        (first, checked): (ReadCertificate, ServerCertificate),
        events: PodEvents,
        metrics: Arc<Metrics>,
    ) -> Self {
        metrics.certificate_expiry.set(checked.expires as f64);
        let (current, _) = watch::channel(Arc::new(checked));
        Self { source, rules, current, events, metrics, first }
    }

    /// What is in use, with its changes.
    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<ServerCertificate>> {
        self.current.subscribe()
    }

    /// TLS without certificates of clients, with the certificate that is in use.
    pub(super) fn one_way(&self) -> Arc<ServerConfig> {
        self.current.borrow().one_way.clone()
    }

    /// The authorities of the server's certificate, in PEM, if the server manages them.
    pub(crate) fn managed_authorities(&self) -> Option<Vec<u8>> {
        matches!(self.source, PemSource::Managed(_)).then(|| self.current.borrow().authorities.clone())
    }

    /// The changes of the certificate or of its authorities.
    pub(crate) fn changes(&self) -> impl Stream<Item = ()> + Send + use<> {
        WatchStream::from_changes(self.current.subscribe()).map(drop)
    }

    /// Reads the certificate at intervals for as long as it is polled. If it cannot be used, the last one stays in use.
    pub(crate) async fn keep_current(&self) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut used = self.first.clone();
        let mut failing = None;
        loop {
            ticks.tick().await;
            let result = self.refresh(&mut used).await;
            if result.is_err() {
                self.metrics.certificate_failures.inc();
            }
            self.report(&result, failing).await;
            failing = result.err().map(|failure| discriminant(&failure));
        }
    }

    async fn refresh(&self, used: &mut ReadCertificate) -> Result<(), Failure> {
        // A certificate that cannot be read does not hold up a revocation, nor the other way round.
        let not_before = self.rules.not_before.read();
        if let Ok(not_before) = &not_before {
            self.use_now(used, ReadCertificate { not_before: *not_before, ..used.clone() })?;
        }
        let read = timeout(TIMEOUT, self.source.read(Some(used), used.not_before)).await;
        self.use_now(used, read.unwrap_or_else(|_| Err(anyhow!("no answer within {TIMEOUT:?}")))?)?;
        // Only now: a failure here must hold up neither a new certificate nor the end of the trust in a stolen CA.
        let served = timeout(TIMEOUT, self.source.serve_clients()).await;
        not_before?;
        served.unwrap_or_else(|_| Err(anyhow!("no answer within {TIMEOUT:?}"))).map_err(Failure::Unserved)
    }

    fn use_now(&self, used: &mut ReadCertificate, read: ReadCertificate) -> Result<(), anyhow::Error> {
        if read != *used {
            self.publish(self.source.check(&read, &self.rules)?);
            *used = read;
        }
        Ok(())
    }

    /// Reports when a problem begins and when it ends. It does not repeat the report at each read, because a problem
    /// lasts until somebody repairs the certificate.
    async fn report(&self, result: &Result<(), Failure>, failing: Option<Discriminant<Failure>>) {
        match result {
            Err(failure) if failing == Some(discriminant(failure)) => {}
            Err(failure @ Failure::Unusable(error)) => {
                let error = telemetry::chain(error.as_ref());
                warn!(error, "changed certificate cannot be used, keeping the previous one");
                let note = telemetry::chain(failure);
                self.events.record(EventType::Warning, "CertificateUnusable", "ReadCertificate", &note).await;
            }
            Err(failure @ Failure::Unserved(error)) => {
                let error = telemetry::chain(error.as_ref());
                warn!(error, "the certificate is in use, but clients are not given what they need to trust it");
                let note = telemetry::chain(failure);
                self.events.record(EventType::Warning, "CertificateUnpublished", "ReadCertificate", &note).await;
            }
            Ok(()) if failing.is_some() => {
                info!("the certificate can be used again");
                let note = "the certificate can be used again";
                self.events.record(EventType::Normal, "CertificateUsable", "ReadCertificate", note).await;
            }
            Ok(()) => {}
        }
    }

    fn publish(&self, certificate: ServerCertificate) {
        self.metrics.certificate_expiry.set(certificate.expires as f64);
        info!(expires = certificate.expires, "certificate reloaded");
        self.current.send_replace(Arc::new(certificate));
    }
}

impl PemSource {
    /// Reads what is there now. A managed certificate stays the `used` one as long as possible.
    async fn read(
        &self,
        used: Option<&ReadCertificate>,
        not_before: Option<Timestamp>,
    ) -> Result<ReadCertificate, anyhow::Error> {
        match self {
            Self::Files(files) => Ok(ReadCertificate { pem: files.read()?, not_before, managed: None }),
            Self::ManagedClients(files, managed) => {
                let pem = files.read()?;
                let authorities = managed.client_authorities().await?.into_bytes();
                Ok(ReadCertificate { pem: PemBundle { authorities, ..pem }, not_before, managed: None })
            }
            Self::Managed(managed) => {
                let certificate = managed.certificate(used.and_then(|used| used.managed.as_ref())).await?;
                let pem = PemBundle {
                    certificate: certificate.chain.clone().into_bytes(),
                    key: certificate.key.clone().into_bytes(),
                    authorities: certificate.authorities.clone().into_bytes(),
                };
                Ok(ReadCertificate { pem, not_before, managed: Some(certificate) })
            }
        }
    }

    /// Gives clients what they need to trust the server, if it manages a CA.
    async fn serve_clients(&self) -> Result<(), anyhow::Error> {
        match self {
            Self::Files(_) => Ok(()),
            Self::ManagedClients(files, managed) => {
                let authorities = files.read()?.authorities;
                managed.serve_clients(Some(&String::from_utf8_lossy(&authorities))).await
            }
            Self::Managed(managed) => managed.serve_clients(None).await,
        }
    }

    async fn read_first(&self, rules: &ClientRules) -> Result<(ReadCertificate, ServerCertificate), anyhow::Error> {
        let first = self.read(None, rules.not_before.read()?).await?;
        let checked = self.check(&first, rules)?;
        Ok((first, checked))
    }

    fn check(&self, read: &ReadCertificate, rules: &ClientRules) -> Result<ServerCertificate, Error> {
        // Names for error messages only: no such files are read.
        let managed = |part: &str| format!("the managed {part}").into();
        let files = match self {
            Self::Files(files) => files.clone(),
            Self::ManagedClients(files, _) => Files { ca: managed("CA"), ..files.clone() },
            Self::Managed(_) => Files { certificate: managed("certificate"), key: managed("key"), ca: managed("CA") },
        };
        files.check(&read.pem, rules.ca.clone(), read.not_before)
    }
}

#[cfg(test)]
mod tests {
    use hyper::{Method, Request, Response};
    use kube::{Client, client::Body};
    use parking_lot::Mutex;
    use serde_json::{Value, json};

    use super::*;
    use crate::{pki::managed::ManagedArgs, runtime::pod::PodArgs};

    /// An API server with one Secret, which refuses all reads and writes of ConfigMaps.
    fn client(secret: Arc<Mutex<Option<Value>>>) -> Client {
        let answer = tower::service_fn(move |request: Request<Body>| {
            let secret = secret.clone();
            async move {
                let (head, body) = request.into_parts();
                let is_config_map = head.uri.path().contains("/configmaps");
                if !is_config_map && [Method::PUT, Method::POST].contains(&head.method) {
                    *secret.lock() = Some(serde_json::from_slice(&body.collect_bytes().await?)?);
                }
                let (code, reason) = if is_config_map { (403_u16, "Forbidden") } else { (404, "NotFound") };
                let refusal = json!({"status": "Failure", "message": "no", "reason": reason, "code": code});
                let stored = secret.lock().clone().filter(|_| !is_config_map);
                let (code, answer) = stored.map_or((code, refusal), |secret| (200, secret));
                let answer = Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()))?;
                Ok::<_, tower::BoxError>(answer)
            }
        });
        Client::new(answer, "rcm")
    }

    #[tokio::test]
    async fn a_config_map_that_cannot_be_written_holds_up_neither_a_certificate_nor_the_end_of_a_stolen_ca() {
        let secret = Arc::<Mutex<Option<Value>>>::default();
        let client = client(secret.clone());
        let pod = PodArgs { pod_namespace: "rcm".to_owned(), ..PodArgs::default() };
        let not_before = Arc::new(NotBefore::new(None));
        let server_names = vec!["localhost".to_owned()];
        let args = ManagedArgs { ca_secret: "ca".to_owned(), check_secret: String::new(), server_names };
        let managed = Arc::new(ManagedCertificates::new(&client, args, &pod, not_before.clone()).unwrap());
        let rules = ClientRules { ca: ClientCa::Managed, not_before };
        let (source, events) = (PemSource::Managed(managed), PodEvents::new(client, &pod));
        let credentials = Credentials::wait_until_loaded(source, rules, events, Arc::default()).await;
        let mut used = credentials.first.clone();
        let stolen = credentials.managed_authorities();
        assert!(stolen.is_some());

        let annotations = json!({"replica-count-manager.io/new-ca": "stolen"});
        secret.lock().as_mut().unwrap()["metadata"]["annotations"] = annotations;
        let refreshed = credentials.refresh(&mut used).await;
        assert!(matches!(refreshed, Err(Failure::Unserved(_))), "the ConfigMap alone is reported");
        assert_ne!(credentials.managed_authorities(), stolen);
    }
}
