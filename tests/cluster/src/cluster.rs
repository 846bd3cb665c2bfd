//! A cluster: started, used, ended.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{env, fmt};

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::process::Command;

use crate::bootstrap;
use crate::certificates::{Authority, Subject, save_kubeconfig};
use crate::component::{Component, Handle};
use crate::reaper::Reaper;
use crate::site::Site;
use crate::tools::{Tool, Tools};

/// How to start a cluster. The default suits nearly every test.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether etcd waits for the disk: for tests about lost data. Without it, everything is several times faster.
    pub fsync: bool,
    /// The cluster's folder, which must be new or empty; by default one among the temporary files.
    pub folder: Option<PathBuf>,
    /// Further flags of components.
    pub flags: Vec<(Component, String)>,
}

/// A running cluster, which ends with this value or with the process that holds it, SIGKILL included.
///
/// It is bound to no async runtime, so tests with a runtime each can share one in a `static`.
pub struct Cluster {
    tools: Tools,
    site: Site,
    options: Options,
    authority: Authority,
    children: Mutex<BTreeMap<Component, Child>>,
    reaper: Option<Reaper>,
}

impl Cluster {
    /// Starts etcd, the API server, the controller manager, the scheduler and kwok, and waits until the nodes are
    /// ready: a few seconds, plus what [`Tools::ready`] takes the first time.
    ///
    /// # Errors
    ///
    /// If a program is missing, or does not come up; the error then quotes its log.
    pub async fn start(options: Options) -> Result<Self> {
        let tools = tokio::task::spawn_blocking(Tools::ready).await??;
        let site = Site::create(options.folder.clone())?;
        let reaper = Reaper::watch(&site.folder)?;
        tools.link_into(&site.bin())?;
        let authority = bootstrap::certificates(&site)?;
        let cluster = Self { tools, site, options, authority, children: Mutex::default(), reaper: Some(reaper) };
        bootstrap::start(&cluster).await?;
        Ok(cluster)
    }

    /// The folder that holds all of the cluster's files.
    pub fn folder(&self) -> &Path {
        &self.site.folder
    }

    /// The programs it runs on.
    pub const fn tools(&self) -> &Tools {
        &self.tools
    }

    /// The API server's address.
    pub fn server(&self) -> String {
        self.site.server()
    }

    /// The kubeconfig file of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.site.kubeconfig(bootstrap::ADMIN)
    }

    /// Writes a kubeconfig file with a client certificate for `user`, in `group` if any, and returns its path.
    ///
    /// # Errors
    ///
    /// If the certificate cannot be issued or the file cannot be written.
    pub fn kubeconfig_for(&self, user: &str, group: Option<&str>) -> Result<PathBuf> {
        let pair = self.authority.issue(&Subject { name: user, group, hosts: &[] })?;
        save_kubeconfig(self.site.kubeconfig(user), &self.server(), &self.authority.certificate(), &pair)
    }

    /// A client with an administrator's rights, for use in the current runtime.
    ///
    /// # Errors
    ///
    /// If the kubeconfig file cannot be read.
    pub async fn client(&self) -> Result<Client> {
        Self::client_of(&self.kubeconfig()).await
    }

    /// A client with the rights of the user of a kubeconfig file, for use in the current runtime.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub async fn client_of(kubeconfig: &Path) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    }

    /// The environment that makes a program use this cluster and its tools, and nothing of the user's.
    pub fn env(&self) -> Vec<(&'static str, OsString)> {
        let home = self.site.home();
        let mut environment =
            vec![("KUBECONFIG", self.kubeconfig().into()), ("PATH", self.path()), ("HOME", home.clone().into())];
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

    /// `PATH` with the cluster's tools, and the plugins that krew installs, in front.
    pub fn path(&self) -> OsString {
        let path = env::var_os("PATH").unwrap_or_default();
        let front = [self.site.bin(), self.site.home().join("krew/bin")];
        // Fails only for a folder with a colon in its name, which no `PATH` can hold.
        env::join_paths(front.into_iter().chain(env::split_paths(&path))).unwrap_or(path)
    }

    /// Prepares a program with the cluster's [environment](Self::env). It ends when the command's child is dropped.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.envs(self.env()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Prepares kubectl with an administrator's rights.
    pub fn kubectl(&self) -> Command {
        self.command(self.site.bin().join(Tool::Kubectl.name()))
    }

    /// Prepares helm with an administrator's rights.
    pub fn helm(&self) -> Command {
        self.command(self.site.bin().join(Tool::Helm.name()))
    }

    /// Prepares Helm 3 with an administrator's rights.
    pub fn helm3(&self) -> Command {
        self.command(self.site.bin().join(Tool::Helm3.name()))
    }

    /// Prepares grpcurl.
    pub fn grpcurl(&self) -> Command {
        self.command(self.site.bin().join(Tool::Grpcurl.name()))
    }

    /// One of the cluster's processes, to be killed, paused or restarted.
    pub const fn component(&self, component: Component) -> Handle<'_> {
        Handle { cluster: self, component }
    }

    /// Lets the cluster outlive this process, and returns the script that ends it. Pods that a
    /// [`Kubelet`](crate::Kubelet) started run on as well, but nothing probes or restarts them any more.
    ///
    /// # Errors
    ///
    /// If the cluster's end cannot be called off; it then ends with this process.
    pub fn detach(mut self) -> Result<PathBuf> {
        self.reaper.take().context("the cluster is detached already")?.detach()
    }

    pub(crate) const fn site(&self) -> &Site {
        &self.site
    }

    pub(crate) fn children(&self) -> MutexGuard<'_, BTreeMap<Component, Child>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn flags(&self, component: Component) -> impl Iterator<Item = &str> {
        let durability = (component == Component::Etcd && !self.options.fsync).then_some("--unsafe-no-fsync");
        let further = self.options.flags.iter().filter(move |(owner, _)| *owner == component);
        durability.into_iter().chain(further.map(|(_, flag)| flag.as_str()))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(reaper) = self.reaper.take() else {
            return;
        };
        drop(reaper);
        for child in self.children().values_mut() {
            // It has been killed; this only takes its entry from the process table.
            let _ = child.wait();
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Cluster").field("site", &self.site).finish_non_exhaustive()
    }
}
