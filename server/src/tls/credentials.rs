//! The server's certificate, read again when it changes: connections that are open stay, new ones get the new one.

use std::{sync::Arc, time::Duration};

use anyhow::anyhow;
use arc_swap::ArcSwap;
use kube::runtime::events::EventType;
use rustls::ServerConfig;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

use super::{Content, Error, Files, Loaded};
use crate::{
    pki::managed::Managed,
    runtime::pod::Pod,
    telemetry::{self, Metrics},
};

/// How often the source is looked at. A Secret's volume swaps a symlink, which watches of files miss.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long one look may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the server's certificate comes from.
#[derive(Clone)]
pub enum Source {
    /// Files, which somebody else keeps.
    Files(Files),
    /// The CA that the server manages.
    Managed(Arc<Managed>),
}

/// The certificate in use.
pub struct Credentials {
    source: Source,
    current: ArcSwap<ServerConfig>,
    pod: Pod,
    metrics: Arc<Metrics>,
    first: Content,
}

impl Credentials {
    /// Reads and checks the certificate.
    ///
    /// # Errors
    ///
    /// Names what cannot be used, and why.
    pub async fn load(source: Source, pod: Pod, metrics: Arc<Metrics>) -> Result<Self, anyhow::Error> {
        let first = source.read(None).await?;
        let loaded = source.load(&first)?;
        metrics.certificate_expiry.set(loaded.expires as f64);
        Ok(Self { source, current: ArcSwap::new(loaded.config), pod, metrics, first })
    }

    /// How to speak TLS with the next connection.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Follows the source for as long as it is polled. What cannot be used leaves the certificate as it is.
    pub async fn follow(&self) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut used = self.first.clone();
        let mut failing = false;
        loop {
            ticks.tick().await;
            let read = match timeout(TIMEOUT, self.source.read(Some(&used))).await {
                Ok(read) => read,
                Err(_) => Err(anyhow!("no answer within {TIMEOUT:?}")),
            };
            let changed = match read {
                Ok(content) if content == used => Ok(()),
                Ok(content) => match self.source.load(&content) {
                    Ok(loaded) => {
                        self.publish(loaded);
                        used = content;
                        Ok(())
                    }
                    Err(error) => Err(error.into()),
                },
                Err(error) => Err(error),
            };
            if changed.is_err() {
                self.metrics.certificate_failures.inc();
            }
            // Said once: what is wrong stays wrong until somebody mends it.
            match &changed {
                Err(error) if !failing => {
                    let error = telemetry::chain(error.as_ref());
                    warn!(error, "changed certificate cannot be used, keeping the one before");
                    let note = format!("the certificate cannot be used, the one before stays in use: {error}");
                    self.pod.tell(EventType::Warning, "CertificateUnusable", "ReadCertificate", &note).await;
                }
                Ok(()) if failing => {
                    info!("the certificate can be used again");
                    let note = "the certificate can be used again";
                    self.pod.tell(EventType::Normal, "CertificateUsable", "ReadCertificate", note).await;
                }
                _ => {}
            }
            failing = changed.is_err();
        }
    }

    fn publish(&self, loaded: Loaded) {
        self.metrics.certificate_expiry.set(loaded.expires as f64);
        self.current.store(loaded.config);
        info!(expires = loaded.expires, "certificate reloaded");
    }
}

impl Source {
    /// Reads what is there now. A managed certificate stays the one that is in use while it can.
    async fn read(&self, current: Option<&Content>) -> Result<Content, anyhow::Error> {
        match self {
            Self::Files(files) => Ok(files.read()?),
            Self::Managed(managed) => {
                let current = current.and_then(|current| current.managed.as_ref());
                let certificate = managed.certificate(current).await?;
                Ok(Content {
                    certificate: certificate.chain.clone().into_bytes(),
                    key: certificate.key.clone().into_bytes(),
                    ca: certificate.authorities.clone().into_bytes(),
                    managed: Some(certificate),
                })
            }
        }
    }

    fn load(&self, content: &Content) -> Result<Loaded, Error> {
        match self {
            Self::Files(files) => files.load(content),
            // For messages alone: nothing is read from there.
            Self::Managed(_) => {
                let [certificate, key, ca] =
                    ["certificate", "key", "CA"].map(|part| format!("the managed {part}").into());
                Files { certificate, key, ca }.load(content)
            }
        }
    }
}
