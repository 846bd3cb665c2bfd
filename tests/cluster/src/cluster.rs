//! A running cluster.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use kube::Client;
use tokio::process::Command;

use crate::bootstrap;
use crate::certificates::{Authority, Subject, save_kubeconfig};
use crate::client::client;
use crate::cluster_files::{ADMIN, ClusterFiles};
use crate::component::Component;
use crate::options::Options;
use crate::process;
use crate::processes::{Handle, Processes};
use crate::reaper::Reaper;
use crate::tools::{Tool, Tools};

/// A running cluster. It ends with this value, or with the process that holds it, even after SIGKILL.
///
/// It belongs to no async runtime, so tests that each have a runtime can share a cluster in a `static`.
pub struct Cluster {
    tools: Tools,
    processes: Processes,
    authority: Authority,
    reaper: Option<Reaper>,
}

impl Cluster {
    /// Starts etcd, the API server, the controller manager, the scheduler and kwok, and waits until the nodes are
    /// ready. That takes a few seconds, and the time of [`Tools::ready`] at the first start.
    ///
    /// # Errors
    ///
    /// If a program is missing or does not start. The error quotes the program's log.
    pub async fn start(options: Options) -> Result<Self> {
        let tools = tokio::task::spawn_blocking(Tools::ready).await??;
        let files = ClusterFiles::create(options.folder.clone())?;
        let reaper = Reaper::watch(&files.folder)?;
        tools.link_into(&files.bin())?;
        let authority = bootstrap::certificates(&files)?;
        let processes = Processes::new(files, options);
        let cluster = Self { tools, processes, authority, reaper: Some(reaper) };
        bootstrap::start(&cluster.processes, &cluster.tools).await?;
        Ok(cluster)
    }

    /// The folder that holds all of the cluster's files.
    pub fn folder(&self) -> &Path {
        &self.files().folder
    }

    /// The kubeconfig file of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.files().kubeconfig(ADMIN)
    }

    /// Writes a kubeconfig file with a client certificate of a user, and returns its path.
    ///
    /// # Errors
    ///
    /// If the certificate cannot be issued or the file cannot be written.
    pub fn kubeconfig_for(&self, user: &str, group: Option<&str>) -> Result<PathBuf> {
        let pair = self.authority.issue(&Subject { name: user, group, hosts: &[] })?;
        save_kubeconfig(self.files().kubeconfig(user), &self.files().server(), &self.authority.certificate(), &pair)
    }

    /// A client with an administrator's rights, for use in the current runtime.
    ///
    /// # Errors
    ///
    /// If the kubeconfig file cannot be read.
    pub async fn client(&self) -> Result<Client> {
        client(&self.kubeconfig()).await
    }

    /// `PATH`, with the cluster's tools and the plugins that krew installs in front.
    pub fn path(&self) -> OsString {
        self.files().path()
    }

    /// Prepares a program with the cluster's environment. It ends when the command's child is dropped.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.envs(self.files().env()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Prepares kubectl with an administrator's rights.
    pub fn kubectl(&self) -> Command {
        self.command(self.files().bin().join(Tool::Kubectl.name()))
    }

    /// Prepares helm with an administrator's rights.
    pub fn helm(&self) -> Command {
        self.command(self.files().bin().join(Tool::Helm.name()))
    }

    /// Prepares Helm 3 with an administrator's rights.
    pub fn helm3(&self) -> Command {
        self.command(self.files().bin().join(Tool::Helm3.name()))
    }

    /// Prepares grpcurl.
    pub fn grpcurl(&self) -> Command {
        self.command(self.files().bin().join(Tool::Grpcurl.name()))
    }

    /// A handle to one of the cluster's processes.
    pub const fn component(&self, component: Component) -> Handle<'_> {
        self.processes.handle(component)
    }

    /// Starts a program that ends with the cluster, and may outlive this process as the cluster may. Its output goes to
    /// the cluster's log of this name.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn spawn(&self, name: &str, program: &Path, arguments: &[&Path]) -> Result<()> {
        let files = self.files();
        let mut command = process::command(program, &process::record(&files.run(), name), &files.log(name))?;
        // The reaper ends it.
        drop(command.args(arguments).envs(files.env()).spawn().with_context(|| format!("failed to start {name}"))?);
        Ok(())
    }

    /// Lets the cluster outlive this process, and returns the script that ends it. Pods of a
    /// [`Kubelet`](crate::Kubelet) in this process keep running too, but nothing probes or restarts them any more. Those
    /// of a kubelet in a program of [`Cluster::spawn`] go on as before.
    ///
    /// # Errors
    ///
    /// If the reaper cannot be stopped. The cluster then ends with this process.
    pub fn detach(mut self) -> Result<PathBuf> {
        self.reaper.take().context("the cluster is detached already")?.detach()
    }

    pub(crate) const fn files(&self) -> &ClusterFiles {
        &self.processes.files
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(reaper) = self.reaper.take() else {
            return;
        };
        drop(reaper);
        self.processes.wait_for_killed();
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Cluster").field("files", self.files()).finish_non_exhaustive()
    }
}
