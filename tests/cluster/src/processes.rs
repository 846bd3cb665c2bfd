//! The processes of a cluster, and handles to kill, pause and restart them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use parking_lot::Mutex;
use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::arguments;
use crate::client::client;
use crate::cluster_files::{ADMIN, ClusterFiles};
use crate::component::Component;
use crate::options::Options;
use crate::process;
use crate::wait;

/// The timeout of a start or an end. It is generous because machines that run tests are often loaded far beyond their
/// cores.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long an end may take before the second SIGTERM. At the first one, an API server waits a minute for the watches
/// of its clients. The second ends it at once.
const DRAIN: Duration = Duration::from_secs(2);

/// The processes of one cluster.
#[derive(Debug)]
pub(crate) struct Processes {
    pub(crate) files: ClusterFiles,
    options: Options,
    children: Mutex<BTreeMap<Component, Child>>,
}

impl Processes {
    /// Prepares the processes. None is running yet.
    pub(crate) const fn new(files: ClusterFiles, options: Options) -> Self {
        Self { files, options, children: Mutex::new(BTreeMap::new()) }
    }

    pub(crate) const fn handle(&self, component: Component) -> Handle<'_> {
        Handle { processes: self, component }
    }

    /// Removes killed processes from the process table.
    pub(crate) fn wait_for_killed(&self) {
        for child in self.children.lock().values_mut() {
            let _ = child.wait();
        }
    }
}

/// One component of one cluster, to be killed, paused or restarted.
#[derive(Clone, Copy, Debug)]
pub struct Handle<'a> {
    processes: &'a Processes,
    component: Component,
}

impl Handle<'_> {
    /// The process id.
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn pid(&self) -> Result<u32> {
        let children = self.processes.children.lock();
        let child = children.get(&self.component).with_context(|| format!("{} is not running", self.name()))?;
        Ok(child.id())
    }

    /// The file of the component's output.
    pub fn log(&self) -> PathBuf {
        self.processes.files.log(self.name())
    }

    /// Starts the component with its earlier ports and data, and waits until it serves.
    ///
    /// # Errors
    ///
    /// If it is running, ends at once, or does not serve within a minute.
    pub async fn start(&self) -> Result<()> {
        self.spawn()?;
        self.wait_until_serving().await
    }

    /// Asks the component to end (SIGTERM), and waits until it has ended.
    ///
    /// # Errors
    ///
    /// If it is not running, or does not end within a minute.
    pub async fn stop(&self) -> Result<()> {
        self.signal(Signal::TERM)?;
        // A paused process handles the signal only after it is resumed.
        self.signal(Signal::CONT)?;
        if self.wait_until_ended(DRAIN).await.is_ok() {
            return Ok(());
        }
        self.signal(Signal::TERM)?;
        self.wait_until_ended(PATIENCE).await
    }

    /// Kills the component (SIGKILL), and waits until it has ended.
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub async fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.wait_until_ended(PATIENCE).await
    }

    /// Pauses the component (SIGSTOP): connections stay open, and nothing answers.
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Resumes the component (SIGCONT).
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    pub(crate) fn spawn(&self) -> Result<()> {
        let files = &self.processes.files;
        let mut children = self.processes.children.lock();
        if children.contains_key(&self.component) {
            bail!("{} is running already", self.name());
        }
        let record = process::record(&files.run(), self.name());
        let program = files.bin().join(self.name());
        let child = process::command(&program, &record, &self.log())?
            .args(arguments::of(self.component, files))
            .args(self.processes.options.flags_of(self.component))
            .envs(files.env())
            .current_dir(&files.folder)
            .spawn()
            .with_context(|| format!("failed to start {}", self.name()))?;
        children.insert(self.component, child);
        Ok(())
    }

    /// Waits until the component serves, or fails when it has ended.
    pub(crate) async fn wait_until_serving(&self) -> Result<()> {
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
            client(&self.processes.files.kubeconfig(ADMIN)).await?.request_text(request).await?;
        } else {
            TcpStream::connect(("127.0.0.1", self.component.port(&self.processes.files))).await?;
        }
        Ok(())
    }

    async fn wait_until_ended(&self, within: Duration) -> Result<()> {
        wait::until(&format!("{} to end", self.name()), within, || async {
            self.try_wait()?.map(|_| ()).context("it is still running")
        })
        .await
    }

    /// Returns an error that says how the process ended, if it has.
    fn try_wait(&self) -> Result<Option<anyhow::Error>> {
        let mut children = self.processes.children.lock();
        let child = children.get_mut(&self.component).with_context(|| format!("{} is not running", self.name()))?;
        let Some(status) = child.try_wait()? else {
            return Ok(None);
        };
        children.remove(&self.component);
        process::forget(&process::record(&self.processes.files.run(), self.name()))?;
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
