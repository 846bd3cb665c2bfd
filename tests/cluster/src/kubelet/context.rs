//! The state that all pods of a kubelet share.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use kube::Client;
use parking_lot::Mutex;

use super::running::Entry;
use crate::cluster_files::ClusterFiles;

/// Namespace and name of a pod.
pub(super) type Key = (String, String);

/// The state that all pods of a kubelet share.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) files: ClusterFiles,
    images: BTreeMap<String, PathBuf>,
    pub(super) registry: Mutex<BTreeMap<Key, Entry>>,
    addresses: AtomicU32,
    log: Mutex<File>,
}

impl Context {
    pub(super) fn new(client: Client, files: ClusterFiles, images: BTreeMap<String, PathBuf>) -> Result<Self> {
        let log = Mutex::new(File::create(files.log("kubelet"))?);
        Ok(Self { client, files, images, registry: Mutex::default(), addresses: AtomicU32::new(0), log })
    }

    /// The program that runs in place of an image.
    pub(super) fn program(&self, image: &str) -> Option<PathBuf> {
        let image = image.split('@').next().unwrap_or_default();
        let tagged = image.rsplit('/').next().unwrap_or_default();
        let name = tagged.split(':').next().unwrap_or_default();
        self.images.get(tagged).or_else(|| self.images.get(name)).cloned()
    }

    pub(super) fn next_address(&self) -> String {
        let number = self.addresses.fetch_add(1, Ordering::Relaxed);
        format!("10.244.{}.{}", number / 250 % 250, number % 250 + 2)
    }

    pub(super) fn log(&self, line: &str) {
        let mut log = self.log.lock();
        // A full disk causes other errors.
        let _ = writeln!(log, "{} {line}", jiff::Timestamp::now());
    }
}
