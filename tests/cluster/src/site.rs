//! A cluster's folder and ports.

use std::env;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

use crate::ports;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Where everything of one cluster is. Ports stay the same when a component restarts.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) folder: PathBuf,
    pub(crate) etcd: u16,
    pub(crate) etcd_peer: u16,
    pub(crate) api_server: u16,
    pub(crate) controller_manager: u16,
    pub(crate) scheduler: u16,
    pub(crate) kwok: u16,
}

/// A name that nothing has yet among the temporary files: process ids come round again, and so do leftovers.
fn new_name() -> PathBuf {
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("replica-count-manager-{}-{number}", process::id()));
        if !folder.exists() {
            return folder;
        }
    }
}

impl Site {
    /// Creates the folder, which must be new or empty, as the cluster's end removes it.
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
        Ok(Self {
            folder,
            etcd: ports::free()?,
            etcd_peer: ports::free()?,
            api_server: ports::free()?,
            controller_manager: ports::free()?,
            scheduler: ports::free()?,
            kwok: ports::free()?,
        })
    }

    /// The API server's address.
    pub(crate) fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_server)
    }

    /// The folder of the records that the reaper follows.
    pub(crate) fn run(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// The links to the tools.
    pub(crate) fn bin(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// A file of the certificates' folder.
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

    /// The stand-in for the user's home folder.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// The folder of the pods that the kubelet runs.
    pub(crate) fn pods(&self) -> PathBuf {
        self.folder.join("pods")
    }
}

/// Shows a path as a flag's value.
pub(crate) fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}
