//! The server's certificate, read again when its files change: connections that are open stay, new ones get the new one.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::{Content, Error, Files};
use crate::telemetry::{self, Metrics};

/// How often the files are compared. A Secret's volume swaps a symlink, which watches of files miss.
const INTERVAL: Duration = Duration::from_secs(5);

/// The certificate in use.
pub struct Credentials {
    files: Files,
    current: ArcSwap<ServerConfig>,
    metrics: Arc<Metrics>,
    first: Content,
}

impl Credentials {
    /// Reads and checks the files.
    ///
    /// # Errors
    ///
    /// Names the file that cannot be used, and why.
    pub fn load(files: Files, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let first = files.read()?;
        let loaded = files.load(&first)?;
        metrics.certificate_expiry.set(loaded.expires as f64);
        Ok(Self { files, current: ArcSwap::new(loaded.config), metrics, first })
    }

    /// How to speak TLS with the next connection.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Follows the files for as long as it is polled. Files that cannot be used leave the certificate as it is.
    pub async fn follow(&self) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen: Option<Content> = None;
        loop {
            ticks.tick().await;
            let content = match self.files.read() {
                Ok(content) => content,
                Err(error) => {
                    self.keep(&error);
                    continue;
                }
            };
            if content == *seen.as_ref().unwrap_or(&self.first) {
                continue;
            }
            match self.files.load(&content) {
                Ok(loaded) => {
                    self.metrics.certificate_expiry.set(loaded.expires as f64);
                    self.current.store(loaded.config);
                    info!(expires = loaded.expires, "certificate reloaded");
                }
                Err(error) => self.keep(&error),
            }
            seen = Some(content);
        }
    }

    fn keep(&self, error: &Error) {
        self.metrics.certificate_failures.inc();
        warn!(error = telemetry::chain(error), "changed certificate cannot be used, keeping the one before");
    }
}
