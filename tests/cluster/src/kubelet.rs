//! Runs pods as real processes on this machine.
//!
//! kwok makes every pod Ready at once and runs no process. The [`Kubelet`] runs the pods with the annotation
//! `replica-count-manager.io/run` instead. Their containers become processes with the arguments, environment, volumes and
//! service account of the spec. Probes decide about readiness and restarts. A deletion sends SIGTERM and waits.
//!
//! The processes have no containers, so the kubelet rewrites their paths and addresses. It rewrites mount paths and
//! listen addresses (`[::]:PORT`, `0.0.0.0:PORT`, `:PORT` of a declared port) only where they are a whole argument,
//! flag value or environment value. It also rewrites the address of a Service (`SERVICE.NAMESPACE.svc:PORT`), once,
//! when the container starts. The service account is a kubeconfig. Pods restart always or never. The kubelet does not
//! support init containers,
//! `envFrom`, lifecycle hooks and probes other than plain httpGet. The status of a pod that needs them says so.
//!
//! The kubelet also stands in for kube-proxy, but only for the API server, which calls webhooks by their Services.

mod container;
mod context;
mod files;
mod forward;
mod plan;
mod planner;
mod pod;
mod probe;
mod proxy;
mod rewrite;
mod running;
mod service;
mod source;
mod status;
mod volumes;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio::net::UnixListener;
use tokio::runtime::Builder;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use crate::client::client;
use crate::cluster::Cluster;
use crate::cluster_files::{ADMIN, ClusterFiles};
use crate::kwok::RUN_ANNOTATION;
use context::Context;
use pod::Task;
pub use running::RunningPod;

/// The threads that run pods and connections. Two, so that the work for pods does not delay the calls of webhooks.
const THREADS: usize = 2;

/// Runs the annotated pods of one cluster on its own threads, until it is dropped. The processes end with their pods or
/// with the cluster.
pub struct Kubelet {
    context: Arc<Context>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Kubelet {
    /// Starts to run pods. `images` maps images to programs. An image is its name without registry and folder, with a
    /// tag (`server:v2`) or for all tags (`server`).
    ///
    /// # Errors
    ///
    /// If the cluster's kubeconfig cannot be read or the thread cannot start.
    pub fn start<'a>(cluster: &Cluster, images: impl IntoIterator<Item = (&'a str, &'a Path)>) -> Result<Self> {
        Self::start_in(cluster.files().clone(), images)
    }

    /// Starts to run pods of a cluster that another process has started, in this folder.
    ///
    /// # Errors
    ///
    /// As of [`Kubelet::start`], and if there is no cluster in the folder.
    pub fn join<'a>(folder: &Path, images: impl IntoIterator<Item = (&'a str, &'a Path)>) -> Result<Self> {
        Self::start_in(ClusterFiles::open(folder)?, images)
    }

    fn start_in<'a>(files: ClusterFiles, images: impl IntoIterator<Item = (&'a str, &'a Path)>) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
        let images = images.into_iter().map(|(image, program)| (image.to_owned(), program.to_owned())).collect();
        let (sender, receiver) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let work = async move {
            let (context, listener) = match open(files, images).await {
                Ok((context, listener)) => (Ok(context), Some(listener)),
                Err(error) => (Err(error), None),
            };
            let running = context.as_ref().ok().cloned();
            if let (Ok(()), Some(context), Some(listener)) = (sender.send(context), running, listener) {
                run(context, listener, stopped).await;
            }
        };
        let thread = thread::Builder::new().name("kubelet".into()).spawn(move || runtime.block_on(work))?;
        let context = receiver.recv().context("the kubelet's thread ended")??;
        Ok(Self { context, stop: Some(stop), thread: Some(thread) })
    }

    /// The state of a running pod.
    ///
    /// # Errors
    ///
    /// If the pod does not exist, is not annotated, or its containers have not started yet.
    pub fn pod(&self, namespace: &str, name: &str) -> Result<RunningPod> {
        let registry = self.context.registry.lock();
        let entry = registry.get(&(namespace.to_owned(), name.to_owned()));
        Ok(entry.with_context(|| format!("the pod {namespace}/{name} is not being run"))?.snapshot())
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        // Dropping the sender stops the thread.
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Kubelet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pods = self.context.registry.lock().keys().cloned().collect::<Vec<_>>();
        formatter.debug_struct("Kubelet").field("pods", &pods).finish_non_exhaustive()
    }
}

/// Prepares the state and the socket. A client belongs to the runtime that creates it, so the kubelet's thread does this.
async fn open(files: ClusterFiles, images: BTreeMap<String, PathBuf>) -> Result<(Arc<Context>, UnixListener)> {
    let client = client(&files.kubeconfig(ADMIN)).await?;
    let listener = proxy::listen(&files)?;
    Ok((Arc::new(Context::new(client, files, images)?), listener))
}

/// Watches the pods, and starts a task for each annotated pod, until `stopped`.
async fn run(context: Arc<Context>, listener: UnixListener, stopped: oneshot::Receiver<()>) {
    // It ends with this value.
    let mut serving = JoinSet::new();
    serving.spawn(proxy::serve(context.clone(), listener));
    let mut pods = Pods { context: context.clone(), known: BTreeMap::new(), tasks: JoinSet::new() };
    let api: Api<PartialObjectMeta<Pod>> = Api::all(context.client.clone());
    // Only metadata, because a cluster can have many pods of kwok.
    let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
    let mut stopped = pin!(stopped);
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            Some(ended) = pods.tasks.join_next() => pods.forget(ended.ok()),
            Some(event) = events.next() => match event {
                Ok(event) => pods.observe(event),
                Err(error) => context.log(&format!("watching pods: {error}")),
            },
        }
    }
}

/// The pods that have a task.
struct Pods {
    context: Arc<Context>,
    known: BTreeMap<String, Arc<Notify>>,
    tasks: JoinSet<String>,
}

impl Pods {
    fn observe(&mut self, event: watcher::Event<PartialObjectMeta<Pod>>) {
        match event {
            watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) => self.touch(pod),
            watcher::Event::Delete(pod) => {
                if let Some(changed) = pod.uid().and_then(|uid| self.known.get(&uid)) {
                    changed.notify_one();
                }
            }
            watcher::Event::Init => {}
            // Pods may have been deleted while there was no watch.
            watcher::Event::InitDone => self.known.values().for_each(|changed| changed.notify_one()),
        }
    }

    fn touch(&mut self, pod: PartialObjectMeta<Pod>) {
        if !pod.annotations().contains_key(RUN_ANNOTATION) {
            return;
        }
        let uid = pod.uid().unwrap_or_default();
        if let Some(changed) = self.known.get(&uid) {
            changed.notify_one();
            return;
        }
        let changed = Arc::new(Notify::new());
        self.known.insert(uid.clone(), changed.clone());
        let pod = Pod { metadata: pod.metadata, ..Pod::default() };
        let task = Task::new(self.context.clone(), pod, changed);
        self.tasks.spawn(async move {
            task.run().await;
            uid
        });
    }

    fn forget(&mut self, uid: Option<String>) {
        if let Some(uid) = uid {
            self.known.remove(&uid);
        }
    }
}
