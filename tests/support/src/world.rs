//! A cluster with a server in it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cluster::{Cluster, Kubelet, Options, kubelet::RunningPod, run, wait};
use contract::replicas::v1::replicas_service_client::ReplicasServiceClient;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, api::ListParams};
use serde_json::Value;
use tokio::sync::OnceCell;
use tonic::transport::Channel;

use super::{Certificate, PATIENCE, connect, release};

/// A cluster with a server in it, installed by the chart.
pub struct World {
    /// Dropped first, so that it touches no folder of a pod while the cluster removes them.
    kubelet: Kubelet,
    /// The control plane.
    pub cluster: Cluster,
    certificates: PathBuf,
    plugin_config: PathBuf,
    plugin_folder: PathBuf,
    grpc: String,
    http: String,
}

/// A server pod that is ready.
pub struct Server {
    /// Its name.
    pub pod: String,
    /// Its process.
    pub process: RunningPod,
}

/// The cluster that the tests share.
pub async fn world() -> Result<&'static World> {
    static SHARED: OnceCell<World> = OnceCell::const_new();
    SHARED.get_or_try_init(|| World::start(Options::default())).await
}

impl World {
    /// Starts a cluster of a test's own.
    pub async fn start(options: Options) -> Result<Self> {
        Self::start_with(options, &[]).await
    }

    /// Starts a cluster of a test's own, with further flags of `helm install`.
    pub async fn start_with(options: Options, flags: &[&str]) -> Result<Self> {
        let mut world = Self::without_server(options).await?;
        // One server, unless a test asks for more: what it breaks then is the one that leads.
        let flags = [&["--set=replicaCount=1"], flags].concat();
        release::install(&world.cluster, &world.certificates, &flags).await?;
        // Of what is not managed, the chart's roles tell nothing.
        let view = [
            "create",
            "clusterrolebinding",
            "admins-view",
            "--clusterrole=view",
            "--group=replica-count-manager:admins",
        ];
        run(world.cluster.kubectl().args(view)).await?;
        let process = world.server().await?.process;
        (world.grpc, world.http) = (process.address("grpc")?.to_string(), process.address("http")?.to_string());
        Ok(world)
    }

    /// Starts a cluster that a test installs the server in.
    pub async fn without_server(options: Options) -> Result<Self> {
        let cluster = Cluster::start(options).await?;
        let certificates = cluster.folder().join("certificates");
        release::make_certificates(&certificates).await?;
        let kubelet = release::run_pods(&cluster, &release::program("replica-count-manager")?)?;
        let plugin_config = release::configure_plugin(&cluster, &certificates).await?;
        let plugin_folder =
            release::program("kubectl-replicas")?.parent().context("the plugin has no folder")?.to_owned();
        Ok(Self {
            cluster,
            kubelet,
            certificates,
            plugin_config,
            plugin_folder,
            grpc: String::new(),
            http: String::new(),
        })
    }

    /// A ready server pod, waited for if there is none.
    pub async fn server(&self) -> Result<Server> {
        self.server_in(release::NAME).await
    }

    /// A ready server pod of a namespace.
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
        let pods: Value = serde_json::from_str(&run(self.cluster.kubectl().args(get)).await?)?;
        let ready = pods["items"].as_array().into_iter().flatten().filter(|pod| is_ready(pod));
        let names = ready.filter_map(|pod| pod["metadata"]["name"].as_str());
        names.map(|pod| Ok(Server { pod: pod.to_owned(), process: self.kubelet.pod(namespace, pod)? })).collect()
    }

    /// The server pods that their Service calls ready now, where clients of it would go.
    pub async fn endpoints(&self, client: &kube::Client) -> Result<Vec<Server>> {
        let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), release::NAME);
        let of_service = format!("kubernetes.io/service-name={}", release::NAME);
        let slices = slices.list(&ListParams::default().labels(&of_service)).await?;
        let endpoints = slices.items.into_iter().flat_map(|slice| slice.endpoints);
        let ready = endpoints.filter(|endpoint| endpoint.conditions.as_ref().and_then(|all| all.ready) == Some(true));
        let pods = ready.filter_map(|endpoint| endpoint.target_ref?.name);
        pods.map(|pod| Ok(Server { process: self.kubelet.pod(release::NAME, &pod)?, pod })).collect()
    }

    /// The log of a pod that is run, or was run and still exists.
    pub fn log(&self, namespace: &str, pod: &str) -> Result<String> {
        let pod = self.kubelet.pod(namespace, pod)?;
        Ok(std::fs::read_to_string(pod.log().context("the pod has no container")?)?)
    }

    /// The gRPC address of the first server pod, which it keeps through restarts of its process.
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

    /// The plugin's configuration.
    pub fn plugin_config(&self) -> &Path {
        &self.plugin_config
    }

    /// The folder that holds the plugin.
    pub(crate) fn plugin_folder(&self) -> &Path {
        &self.plugin_folder
    }

    /// A connection of the client.
    pub fn channel(&self) -> Result<Channel> {
        connect(self.grpc.clone(), &Certificate::load(&self.certificates)?)
    }

    /// A connection of another user, whose name is a plain word.
    pub async fn channel_of(&self, user: &str) -> Result<Channel> {
        connect(self.grpc.clone(), &self.certificate_of(user).await?)
    }

    /// A certificate of another user, whose name is a plain word.
    pub async fn certificate_of(&self, user: &str) -> Result<Certificate> {
        let mut issue = self.cluster.command(release::program("certificates")?);
        run(issue.args(["client", "--user", user, "--out"]).arg(&self.certificates)).await?;
        Certificate::of(&self.certificates, &format!("client-{user}"))
    }

    /// A client of `replicas.v1.ReplicasService`.
    pub fn client(&self) -> Result<ReplicasServiceClient<Channel>> {
        Ok(ReplicasServiceClient::new(self.channel()?))
    }

    /// Hands the server another certificate; the certificate itself is a file of the certificates' folder.
    pub async fn replace_secret(&self, certificate: &str) -> Result<()> {
        let delete = ["delete", "secret", "replica-count-manager-certificates", "--namespace", release::NAME];
        run(self.cluster.kubectl().args(delete)).await?;
        release::create_secret(&self.cluster, release::NAME, &self.certificates, certificate).await
    }

    /// Issues another server certificate of the same CA and hands it to the server.
    pub async fn renew_server_certificate(&self) -> Result<()> {
        let mut renew = self.cluster.command(release::program("certificates")?);
        run(renew.args(["server", "--force", "--out"]).arg(&self.certificates)).await?;
        self.replace_secret("server/server.crt").await
    }

    /// Replaces an object, as an administrator.
    pub async fn replace(&self, manifest: &str) -> Result<()> {
        let file = self.cluster.folder().join("replace.json");
        std::fs::write(&file, manifest)?;
        run(self.cluster.kubectl().args(["replace", "--filename"]).arg(&file)).await.map(drop)
    }

    /// Whether the server's account may do something in all namespaces, in the words of `kubectl auth can-i`.
    pub async fn server_may(&self, what: &str) -> Result<bool> {
        let account = format!("--as=system:serviceaccount:{0}:{0}", release::NAME);
        let mut kubectl = self.cluster.kubectl();
        kubectl.args(["auth", "can-i", &account, "--all-namespaces"]).args(what.split(' '));
        Ok(kubectl.output().await?.status.success())
    }

    /// Takes rights away from the server's ClusterRole, waits until it no longer has this one, and returns the role as it
    /// was, to be [replaced](Self::replace) again.
    pub async fn take_right(&self, right: &str, change: impl FnOnce(String) -> String) -> Result<String> {
        let role = format!("{0}-{0}", release::NAME);
        let role = run(self.cluster.kubectl().args(["get", "clusterrole", &role, "--output=json"])).await?;
        let mut role: Value = serde_json::from_str(&role)?;
        role["metadata"].as_object_mut().context("no metadata")?.remove("resourceVersion");
        let role = role.to_string();
        self.replace(&change(role.clone())).await?;
        wait::until("the right gone", PATIENCE, async || {
            ensure!(!self.server_may(right).await?, "it is still there");
            Ok(())
        })
        .await?;
        Ok(role)
    }

    /// The status and the body of a plain HTTP answer of the server.
    pub async fn http(&self, path: &str) -> Result<(u16, String)> {
        http(&self.http, path).await
    }
}

/// The value of a metric of ours, by the rest of its name.
pub fn metric(metrics: &str, name: &str) -> Result<u64> {
    let line = format!("replica_count_manager_{name} ");
    let value = metrics.lines().find_map(|text| text.strip_prefix(&line));
    Ok(value.with_context(|| format!("no {name} in {metrics}"))?.parse()?)
}

/// The status and the body of a plain HTTP answer.
pub async fn http(address: &str, path: &str) -> Result<(u16, String)> {
    let client: Client<HttpConnector, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.get(format!("http://{address}{path}").parse()?).await?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8(body.to_vec()).context("the answer is no text")?))
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    pod["metadata"]["deletionTimestamp"].is_null()
        && conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True")
}
