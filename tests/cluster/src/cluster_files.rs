//! The folder, the ports and the environment of a cluster.

use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::ports;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The user of the cluster's main kubeconfig.
pub(crate) const ADMIN: &str = "admin";

/// The file that holds all of this, for other processes.
const RECORD: &str = "cluster.json";

/// The files and ports of one cluster. The ports stay the same when a component restarts.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct ClusterFiles {
    pub(crate) folder: PathBuf,
    pub(crate) etcd: u16,
    pub(crate) etcd_peer: u16,
    pub(crate) api_server: u16,
    pub(crate) controller_manager: u16,
    pub(crate) scheduler: u16,
    pub(crate) kwok: u16,
}

/// An unused name among the temporary files. Process ids recur, and an earlier process may have left its folder behind.
fn new_name() -> PathBuf {
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("replica-count-manager-{}-{number}", process::id()));
        if !folder.exists() {
            return folder;
        }
    }
}

impl ClusterFiles {
    /// Creates the folder. It must be new or empty, because the end of the cluster removes it.
    pub(crate) fn create(folder: Option<PathBuf>) -> Result<Self> {
        let folder = folder.unwrap_or_else(new_name);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("failed to create {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        ensure!(fs::read_dir(&folder)?.next().is_none(), "{} is not empty: name another folder", folder.display());
        for name in ["home", "log", "pki", "pods", "run"] {
            fs::create_dir(folder.join(name))?;
        }
        let files = Self {
            folder,
            etcd: ports::free()?,
            etcd_peer: ports::free()?,
            api_server: ports::free()?,
            controller_manager: ports::free()?,
            scheduler: ports::free()?,
            kwok: ports::free()?,
        };
        fs::write(files.record(), serde_json::to_vec(&files)?)?;
        Ok(files)
    }

    /// Opens the folder of a cluster that another process has started.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let record = folder.join(RECORD);
        let text = fs::read(&record).with_context(|| format!("failed to read {}", record.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }

    fn record(&self) -> PathBuf {
        self.folder.join(RECORD)
    }

    /// The API server's address.
    pub(crate) fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_server)
    }

    /// The folder of the records that the reaper reads.
    pub(crate) fn run(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// The folder of links to the tools.
    pub(crate) fn bin(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// The socket on which the kubelet connects the API server to the cluster's network.
    pub(crate) fn egress(&self) -> PathBuf {
        self.folder.join("egress.sock")
    }

    /// A file in the folder of certificates.
    pub(crate) fn pki(&self, name: &str) -> PathBuf {
        self.folder.join("pki").join(name)
    }

    /// The log of a component.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.folder.join("log").join(format!("{name}.log"))
    }

    /// The kubeconfig file of a user.
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        // Users may be called `system:node:x` or `a/b`.
        let name = user.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_");
        self.folder.join(format!("{name}.kubeconfig"))
    }

    /// The folder that replaces the user's home.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// The folder of the pods that the kubelet runs.
    pub(crate) fn pods(&self) -> PathBuf {
        self.folder.join("pods")
    }

    /// The environment that makes a program use this cluster and its tools, and none of the user's settings.
    pub(crate) fn env(&self) -> Vec<(&'static str, OsString)> {
        let home = self.home();
        let mut environment =
            vec![("KUBECONFIG", self.kubeconfig(ADMIN).into()), ("PATH", self.path()), ("HOME", home.clone().into())];
        let folders = [
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_DATA_HOME", "data"),
            ("XDG_STATE_HOME", "state"),
            ("HELM_CACHE_HOME", "cache/helm"),
            ("HELM_CONFIG_HOME", "config/helm"),
            ("HELM_DATA_HOME", "data/helm"),
            ("KREW_ROOT", "krew"),
            ("KUBECACHEDIR", "cache/kubectl"),
        ];
        environment.extend(folders.map(|(name, folder)| (name, home.join(folder).into())));
        environment
    }

    /// `PATH`, with the cluster's tools and the plugins that krew installs in front.
    pub(crate) fn path(&self) -> OsString {
        let path = env::var_os("PATH").unwrap_or_default();
        let front = [self.bin(), self.home().join("krew/bin")];
        // This fails only for a folder with a colon in its name, which no `PATH` can hold.
        env::join_paths(front.into_iter().chain(env::split_paths(&path))).unwrap_or(path)
    }
}

/// Formats a flag whose value is a path.
pub(crate) fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}
