//! A control plane with a server in it.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use cluster::{Cluster, Kubelet, Options, kubelet::RunningPod, run, wait};
use contract::replicas::v1::replicas_service_client::ReplicasServiceClient;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, api::ListParams};
use serde_json::Value;
use tokio::{process::Command, sync::OnceCell};
use tonic::transport::Channel;

use crate::{
    channel::{Certificate, connect},
    constants::PATIENCE,
    metrics::http,
    release,
};

/// A control plane with a server that the chart installed.
pub struct TestCluster {
    /// Dropped first. Otherwise it could touch the folders of pods while the control plane removes them.
    kubelet: Kubelet,
    /// Runs on loopback, and ends with this value.
    pub control_plane: Cluster,
    certificates: PathBuf,
    plugin_config: PathBuf,
    plugin_folder: PathBuf,
    grpc: String,
    http: String,
}

/// A server pod that is ready.
pub struct Server {
    /// The pod's name.
    pub pod: String,
    /// The pod's process and ports.
    pub process: RunningPod,
}

/// The cluster that most tests share. The first caller starts it.
pub async fn shared_cluster() -> Result<&'static TestCluster> {
    static SHARED: OnceCell<TestCluster> = OnceCell::const_new();
    SHARED.get_or_try_init(|| TestCluster::start(Options::default())).await
}

impl TestCluster {
    /// Starts a cluster for one test.
    pub async fn start(options: Options) -> Result<Self> {
        Self::start_with(options, &[]).await
    }

    /// Starts a cluster for one test, with more flags of `helm install`.
    pub async fn start_with(options: Options, flags: &[&str]) -> Result<Self> {
        Self::start_program(options, &release::program("replica-count-manager")?, flags).await
    }

    /// As [`start_with`](Self::start_with), with another build of the server.
    pub async fn start_program(options: Options, server: &Path, flags: &[&str]) -> Result<Self> {
        Self::with_pods_of(options, server).await?.install(Path::new(release::CHART), flags).await
    }

    /// As [`start_program`](Self::start_program), with another folder or package of the chart.
    pub async fn start_release(options: Options, server: &Path, chart: &Path, flags: &[&str]) -> Result<Self> {
        Self::with_pods_of(options, server).await?.install(chart, flags).await
    }

    /// As [`start_program`](Self::start_program), with webhooks in a mode.
    pub async fn start_with_admission(options: Options, server: &Path, mode: &str, flags: &[&str]) -> Result<Self> {
        let cluster = Self::with_pods_of(options, server).await?;
        let admission = release::admission_flags(&cluster.certificates, mode);
        let flags = [&admission.each_ref().map(String::as_str)[..], flags].concat();
        cluster.install(Path::new(release::CHART), &flags).await
    }

    async fn install(mut self, chart: &Path, flags: &[&str]) -> Result<Self> {
        // One replica, unless a test asks for more: the replica that a test breaks is then the leader.
        let flags = [&["--set=replicaCount=1"], flags].concat();
        release::install_chart(&self.control_plane, chart, &self.certificates, &flags).await?;
        let process = self.server().await?.process;
        (self.grpc, self.http) = (process.address("grpc")?.to_string(), process.address("http")?.to_string());
        Ok(self)
    }

    /// Starts a cluster without a server. The test installs it.
    pub async fn without_server(options: Options) -> Result<Self> {
        Self::with_pods_of(options, &release::program("replica-count-manager")?).await
    }

    async fn with_pods_of(options: Options, server: &Path) -> Result<Self> {
        let control_plane = Cluster::start(options).await?;
        let certificates = control_plane.folder().join("certificates");
        release::make_certificates(&certificates).await?;
        let kubelet = release::run_pods(&control_plane, server)?;
        let plugin_config = release::configure_plugin(&control_plane, &certificates).await?;
        let plugin_folder =
            release::program("kubectl-replicas")?.parent().context("the plugin has no folder")?.to_owned();
        Ok(Self {
            control_plane,
            kubelet,
            certificates,
            plugin_config,
            plugin_folder,
            grpc: String::new(),
            http: String::new(),
        })
    }

    /// Prepares kubectl with an administrator's rights.
    pub fn kubectl(&self) -> Command {
        self.control_plane.kubectl()
    }

    /// Prepares Helm 4 with an administrator's rights.
    pub fn helm(&self) -> Command {
        self.control_plane.helm()
    }

    /// Prepares Helm 3 with an administrator's rights.
    pub fn helm3(&self) -> Command {
        self.control_plane.helm3()
    }

    /// Prepares a program with the cluster's environment.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.control_plane.command(program)
    }

    /// The folder that ends with the cluster.
    pub fn folder(&self) -> &Path {
        self.control_plane.folder()
    }

    /// Waits for a ready server pod, and returns it.
    pub async fn server(&self) -> Result<Server> {
        self.server_in(release::NAME).await
    }

    /// Waits for a ready server pod in a namespace, and returns it.
    pub async fn server_in(&self, namespace: &str) -> Result<Server> {
        wait::until("a ready server pod", PATIENCE, async || {
            self.servers_in(namespace).await?.into_iter().next().context("none is ready")
        })
        .await
    }

    /// The server pods of a namespace that are ready now.
    pub async fn servers_in(&self, namespace: &str) -> Result<Vec<Server>> {
        let server = "--selector=app.kubernetes.io/component=server";
        let get = ["get", "pods", "--namespace", namespace, server, "--output=json"];
        let pods: Value = serde_json::from_str(&run(self.kubectl().args(get)).await?)?;
        let ready = pods["items"].as_array().into_iter().flatten().filter(|pod| is_ready(pod));
        let names = ready.filter_map(|pod| pod["metadata"]["name"].as_str());
        names.map(|pod| Ok(Server { pod: pod.to_owned(), process: self.kubelet.pod(namespace, pod)? })).collect()
    }

    /// The server pods that are ready endpoints of their Service now.
    pub async fn endpoints(&self, client: &kube::Client) -> Result<Vec<Server>> {
        let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), release::NAME);
        let of_service = format!("kubernetes.io/service-name={}", release::NAME);
        let slices = slices.list(&ListParams::default().labels(&of_service)).await?;
        let endpoints = slices.items.into_iter().flat_map(|slice| slice.endpoints);
        let ready = endpoints.filter(|endpoint| endpoint.conditions.as_ref().and_then(|all| all.ready) == Some(true));
        let pods = ready.filter_map(|endpoint| endpoint.target_ref?.name);
        pods.map(|pod| Ok(Server { process: self.kubelet.pod(release::NAME, &pod)?, pod })).collect()
    }

    /// The log of a pod that the kubelet runs.
    pub fn log(&self, namespace: &str, pod: &str) -> Result<String> {
        let pod = self.kubelet.pod(namespace, pod)?;
        Ok(std::fs::read_to_string(pod.log().context("the pod has no container")?)?)
    }

    /// The gRPC address of the first server pod. It stays the same when the process restarts.
    pub fn grpc_address(&self) -> &str {
        &self.grpc
    }

    /// The folder that the certificates command wrote to.
    pub fn certificates(&self) -> &Path {
        &self.certificates
    }

    /// The CA, the certificate and the key of the client.
    pub fn client_files(&self) -> [String; 3] {
        release::client_files(&self.certificates)
    }

    /// The plugin's configuration file.
    pub fn plugin_config(&self) -> &Path {
        &self.plugin_config
    }

    /// The folder that holds the plugin.
    pub(crate) fn plugin_folder(&self) -> &Path {
        &self.plugin_folder
    }

    /// A channel with the client certificate of the folder.
    pub fn channel(&self) -> Result<Channel> {
        connect(self.grpc.clone(), &Certificate::load(&self.certificates)?)
    }

    /// A channel of another user.
    pub async fn channel_of(&self, user: &str) -> Result<Channel> {
        connect(self.grpc.clone(), &self.certificate_of(user).await?)
    }

    /// Issues a client certificate of the same CA to another user.
    pub async fn certificate_of(&self, user: &str) -> Result<Certificate> {
        let mut issue = self.command(release::program("certificates")?);
        run(issue.args(["client", "--user", user, "--out"]).arg(&self.certificates)).await?;
        Certificate::of(&self.certificates, &format!("client-{user}"))
    }

    /// A client of `replicas.v1.ReplicasService`.
    pub fn client(&self) -> Result<ReplicasServiceClient<Channel>> {
        Ok(ReplicasServiceClient::new(self.channel()?))
    }

    /// Replaces the certificate in the server's Secret. `certificate` is a file of the certificates' folder.
    async fn replace_secret(&self, certificate: &str) -> Result<()> {
        let delete = ["delete", "secret", "replica-count-manager-certificates", "--namespace", release::NAME];
        run(self.kubectl().args(delete)).await?;
        release::create_secret(&self.control_plane, release::NAME, &self.certificates, certificate).await
    }

    /// Issues another server certificate of the same CA, and puts it in the server's Secret.
    pub async fn renew_server_certificate(&self) -> Result<()> {
        let mut renew = self.command(release::program("certificates")?);
        renew.args(["server", "--force", "--dns", &release::admission_name(release::NAME), "--out"]);
        run(renew.arg(&self.certificates)).await?;
        self.replace_secret("server/server.crt").await
    }

    /// Replaces an object, as an administrator.
    pub async fn replace(&self, manifest: &str) -> Result<()> {
        let file = self.folder().join("replace.json");
        std::fs::write(&file, manifest)?;
        run(self.kubectl().args(["replace", "--filename"]).arg(&file)).await.map(drop)
    }

    /// Whether the server's account may do something in all namespaces, in the syntax of `kubectl auth can-i`.
    pub async fn is_server_allowed(&self, right: &str) -> Result<bool> {
        let account = format!("--as=system:serviceaccount:{0}:{0}", release::NAME);
        let mut kubectl = self.kubectl();
        kubectl.args(["auth", "can-i", &account, "--all-namespaces"]).args(right.split(' '));
        Ok(kubectl.output().await?.status.success())
    }

    /// Changes the server's ClusterRole, and waits until the server no longer has a right. Returns the role as it was,
    /// for [`replace`](Self::replace).
    pub async fn remove_right(&self, right: &str, change: impl FnOnce(String) -> String) -> Result<String> {
        let role = format!("{0}-{0}", release::NAME);
        let role = run(self.kubectl().args(["get", "clusterrole", &role, "--output=json"])).await?;
        let mut role: Value = serde_json::from_str(&role)?;
        role["metadata"].as_object_mut().context("no metadata")?.remove("resourceVersion");
        let role = role.to_string();
        self.replace(&change(role.clone())).await?;
        wait::until("the right gone", PATIENCE, async || {
            ensure!(!self.is_server_allowed(right).await?, "it is still there");
            Ok(())
        })
        .await?;
        Ok(role)
    }

    /// Sends a GET request to the server's HTTP address, and returns the status and the body.
    pub async fn http(&self, path: &str) -> Result<(u16, String)> {
        http(&self.http, path).await
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    pod["metadata"]["deletionTimestamp"].is_null()
        && conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True")
}
