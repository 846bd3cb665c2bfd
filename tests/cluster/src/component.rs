//! The processes of a cluster, and what a test may do to them.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::arguments;
use crate::cluster::Cluster;
use crate::process;
use crate::site::Site;
use crate::tools::Tool;
use crate::wait;

/// Generous: machines that run tests are often loaded far beyond their cores.
const PATIENCE: Duration = Duration::from_secs(120);

/// An API server waits a minute for the watches of its clients; a second signal ends it at once.
const DRAIN: Duration = Duration::from_secs(2);

/// A process of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// The store.
    Etcd,
    /// The API server.
    ApiServer,
    /// The controllers of Kubernetes.
    ControllerManager,
    /// The scheduler.
    Scheduler,
    /// The player of nodes and pods.
    Kwok,
}

impl Component {
    pub(crate) const fn tool(self) -> Tool {
        match self {
            Self::Etcd => Tool::Etcd,
            Self::ApiServer => Tool::KubeApiserver,
            Self::ControllerManager => Tool::KubeControllerManager,
            Self::Scheduler => Tool::KubeScheduler,
            Self::Kwok => Tool::Kwok,
        }
    }

    /// The port that a running component listens on.
    const fn port(self, site: &Site) -> u16 {
        match self {
            Self::Etcd => site.etcd,
            Self::ApiServer => site.api_server,
            Self::ControllerManager => site.controller_manager,
            Self::Scheduler => site.scheduler,
            Self::Kwok => site.kwok,
        }
    }
}

/// One component of one cluster.
#[derive(Clone, Copy, Debug)]
pub struct Handle<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) component: Component,
}

impl Handle<'_> {
    /// Its process id.
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn pid(&self) -> Result<u32> {
        let children = self.cluster.children();
        let child = children.get(&self.component).with_context(|| format!("{} is not running", self.name()))?;
        Ok(child.id())
    }

    /// The file of its output.
    pub fn log(&self) -> PathBuf {
        self.cluster.site().log(self.name())
    }

    /// Starts it on the ports and the data it had before, and waits until it serves.
    ///
    /// # Errors
    ///
    /// If it is running, ends at once, or does not serve within a minute.
    pub async fn start(&self) -> Result<()> {
        self.spawn()?;
        self.serving().await
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    ///
    /// If it is not running, or does not end within a minute.
    pub async fn stop(&self) -> Result<()> {
        self.signal(Signal::TERM)?;
        // A paused process takes note only when it goes on.
        self.signal(Signal::CONT)?;
        if self.ended(DRAIN).await.is_ok() {
            return Ok(());
        }
        self.signal(Signal::TERM)?;
        self.ended(PATIENCE).await
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub async fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.ended(PATIENCE).await
    }

    /// Stops it, then starts it.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop) and [`start`](Self::start).
    pub async fn restart(&self) -> Result<()> {
        self.stop().await?;
        self.start().await
    }

    /// Freezes it (SIGSTOP): connections stay open and nothing answers.
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    pub(crate) fn spawn(&self) -> Result<()> {
        let site = self.cluster.site();
        let mut children = self.cluster.children();
        if children.contains_key(&self.component) {
            bail!("{} is running already", self.name());
        }
        let record = process::record(&site.run(), self.name());
        let program = site.bin().join(self.name());
        let child = process::command(&program, &record, &self.log())?
            .args(arguments::of(self.component, site))
            .args(self.cluster.flags(self.component))
            .envs(self.cluster.env())
            .current_dir(&site.folder)
            .spawn()
            .with_context(|| format!("failed to start {}", self.name()))?;
        children.insert(self.component, child);
        Ok(())
    }

    /// Waits until it serves, or has ended.
    pub(crate) async fn serving(&self) -> Result<()> {
        wait::until(&format!("{} to serve", self.name()), PATIENCE, || async {
            if let Some(end) = self.try_wait()? {
                return Ok(Err(end));
            }
            self.check().await.map(Ok)
        })
        .await?
    }

    async fn check(&self) -> Result<()> {
        if self.component == Component::ApiServer {
            let request = http::Request::get("/readyz").body(Vec::new())?;
            self.cluster.client().await?.request_text(request).await?;
        } else {
            TcpStream::connect(("127.0.0.1", self.component.port(self.cluster.site()))).await?;
        }
        Ok(())
    }

    async fn ended(&self, within: Duration) -> Result<()> {
        wait::until(&format!("{} to end", self.name()), within, || async {
            self.try_wait()?.map(|_| ()).context("it is still running")
        })
        .await
    }

    /// Returns how the process ended, if it has.
    fn try_wait(&self) -> Result<Option<anyhow::Error>> {
        let mut children = self.cluster.children();
        let child = children.get_mut(&self.component).with_context(|| format!("{} is not running", self.name()))?;
        let Some(status) = child.try_wait()? else {
            return Ok(None);
        };
        children.remove(&self.component);
        process::forget(&process::record(&self.cluster.site().run(), self.name()))?;
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(5).collect();
        let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
        Ok(Some(anyhow!("{} ended with {status}; its log ends with\n{tail}", self.name())))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        process::signal(self.pid()?, signal)
    }

    const fn name(&self) -> &'static str {
        self.component.tool().name()
    }
}
