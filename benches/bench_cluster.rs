//! A control plane, and the server that uses it.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use cluster::{Cluster, Component, Options, ports, run, wait};
use contract::replicas::v1::{GetServerInfoRequest, replicas_service_client::ReplicasServiceClient};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, Config, CustomResourceExt, api::ListParams, api::PostParams, config::KubeConfigOptions,
    config::Kubeconfig,
};
use replica_count_manager::{resources::ReplicaCount, runtime::client};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{process::Child, time::sleep};
use tonic::transport::Channel;

use crate::{PATIENCE, deployments};
use support::{Certificate, Memory, connect, release};

/// The controllers that run: autoscalers, for comparison, and the one that a cluster needs to start. With the
/// controllers of Deployments, the pods of 100,000 Deployments would load the machine.
const CONTROLLERS: &str = "--controllers=serviceaccount-controller,horizontal-pod-autoscaler-controller";

/// A control plane that knows ReplicaCounts.
pub(crate) struct BenchCluster {
    pub(crate) control_plane: Cluster,
    /// The same client as the server's, with an administrator's rights.
    pub(crate) client: Client,
    pub(crate) certificates: PathBuf,
}

impl BenchCluster {
    pub(crate) async fn start() -> Result<Self> {
        let flags = vec![(Component::ControllerManager, CONTROLLERS.to_owned())];
        let control_plane = Cluster::start(Options { flags, ..Options::default() }).await?;
        let certificates = control_plane.folder().join("certificates");
        release::make_certificates(&certificates).await?;
        let client = client(&control_plane.kubeconfig()).await?;
        define(&client).await?;
        // The group of the client's certificate. The chart is not installed, so nothing else binds it.
        let admins = ["create", "clusterrolebinding", "admins", "--clusterrole=cluster-admin", ADMINS];
        run(control_plane.kubectl().args(admins)).await?;
        Ok(Self { control_plane, client, certificates })
    }

    /// Starts the server, and waits until it is ready.
    pub(crate) async fn server(&self) -> Result<Server> {
        let [grpc, http] = [ports::free()?, ports::free()?].map(|port| format!("127.0.0.1:{port}"));
        let file = |name: &str| self.certificates.join(name).display().to_string();
        let log = self.control_plane.folder().join("log/server.log");
        let mut command = self.control_plane.command(release::program("replica-count-manager")?);
        command.args([format!("--grpc-address={grpc}"), format!("--http-address={http}")]).args([
            format!("--cert-file={}", file("server/server.crt")),
            format!("--key-file={}", file("server/server.key")),
            format!("--ca-cert-file={}", file("ca/ca.crt")),
        ]);
        let start = Instant::now();
        let process = command.stderr(File::create(log)?).spawn()?;
        // A client without retries, because their growing pauses would distort the time until it is ready.
        let probe = client::builder(&Config::new(format!("http://{http}").parse()?))?.build();
        wait::until("the server to be ready", PATIENCE, async || {
            Ok(probe.request_text(hyper::Request::get("/readyz").body(Vec::new())?).await.map(drop)?)
        })
        .await?;
        Ok(Server { process, grpc, ready_after: start.elapsed() })
    }

    /// Waits until a number of ReplicaCounts pass a check. It lists them only once a second, so that it does not
    /// disturb the server.
    pub(crate) async fn wait_for_replica_counts(
        &self,
        expected: usize,
        check: impl Fn(&ReplicaCount) -> bool,
    ) -> Result<()> {
        let counts: Api<ReplicaCount> = Api::all(self.client.clone());
        wait::until("every ReplicaCount to be as it should", PATIENCE, async || {
            sleep(Duration::from_secs(1)).await;
            let counts = counts.list(&ListParams::default()).await?.items;
            let passing =
                counts.iter().filter(|count| !deployments::is_original(&count.metadata) && check(count)).count();
            ensure!(passing == expected, "{passing} of {expected} are");
            Ok(())
        })
        .await
    }

    /// Clients of a server, each with an open connection.
    pub(crate) async fn clients(&self, server: &Server, connections: usize) -> Result<Clients> {
        let certificate = Certificate::load(&self.certificates)?;
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections {
            let mut client = ReplicasServiceClient::new(connect(server.grpc.clone(), &certificate)?);
            client.get_server_info(GetServerInfoRequest::default()).await?;
            clients.push(client);
        }
        Ok(Clients { clients, next: AtomicUsize::new(0) })
    }
}

/// Clients that are used in turn.
pub(crate) struct Clients {
    clients: Vec<ReplicasServiceClient<Channel>>,
    next: AtomicUsize,
}

impl Clients {
    pub(crate) fn next(&self) -> ReplicasServiceClient<Channel> {
        self.clients[self.next.fetch_add(1, Ordering::Relaxed) % self.clients.len()].clone()
    }
}

/// The group of the client's certificate.
const ADMINS: &str = "--group=replica-count-manager:admins";

/// A client with the same settings as the server's.
pub(crate) async fn client(kubeconfig: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(client::client(&config)?)
}

async fn define(client: &Client) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.create(&PostParams::default(), &ReplicaCount::crd()).await?;
    let counts: Api<ReplicaCount> = Api::all(client.clone());
    wait::until("ReplicaCounts to be served", PATIENCE, async || {
        counts.list(&ListParams::default()).await.map(drop).context("they are not")
    })
    .await
}

/// A ready server. It ends with this value.
pub(crate) struct Server {
    process: Child,
    /// The address of its gRPC services.
    pub(crate) grpc: String,
    /// The time from the start to the first success at /readyz.
    pub(crate) ready_after: Duration,
}

impl Server {
    /// The memory of the process.
    pub(crate) fn memory(&self) -> Result<Memory> {
        Memory::of(self.process.id().context("the server has ended")?)
    }

    /// Pauses the process (SIGSTOP).
    pub(crate) fn pause(&self) -> Result<()> {
        Ok(kill_process(self.pid()?, Signal::STOP)?)
    }

    /// Resumes the process (SIGCONT).
    pub(crate) fn resume(&self) -> Result<()> {
        Ok(kill_process(self.pid()?, Signal::CONT)?)
    }

    /// Kills the process.
    pub(crate) async fn kill(mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }

    fn pid(&self) -> Result<Pid> {
        let id = self.process.id().context("the server has ended")?;
        i32::try_from(id).ok().and_then(Pid::from_raw).context("no process id")
    }
}
