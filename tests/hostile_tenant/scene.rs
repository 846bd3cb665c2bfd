//! The cluster that is attacked: others with many Deployments, and the tenant's namespace.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use cluster::{Options, run, wait};
use contract::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, Config, ResourceExt,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use rcgen::DnType;
use rustls::ClientConfig;
use serde_json::{Value, json};

use support::{
    HangingWebhook, Namespace, PATIENCE, TestCluster, User, dial,
    manifests::{ReplicaCountManifest, Workload, names},
    presented::{TestCa, client_params},
    release,
};

/// Namespaces of others that hold the Deployments.
const TEAMS: usize = 10;

/// Deployments of the namespaces whose corrections are measured.
pub(super) const MEASURED: usize = 40;

/// Labels of each of the tenant's Deployments with huge labels: as many as an object may have, in a megabyte.
const HUGE_LABELS: usize = 8000;

/// The tenant's managed StatefulSets.
const STATEFUL_SETS: usize = 40;

/// The size of a scene, in objects.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) deployments: usize,
    pub(super) managed: usize,
    /// ReplicaCounts of the tenant, each of another kind that does not exist.
    pub(super) missing_kinds: usize,
    /// Targets of the tenant whose corrections hang.
    pub(super) hanging: usize,
    /// Whether each lever must be pulled as often as broke commit 7be2d34, and not just once.
    pub(super) is_full: bool,
}

/// Whether there are webhooks. The administrator, whose drifts are measured, is exempt from them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Off,
    Guard,
}

/// A cluster with a server.
pub(super) struct Scene {
    pub(super) cluster: &'static TestCluster,
    pub(super) client: Client,
    pub(super) grpc: String,
    pub(super) http: String,
    /// The address of the webhooks, if there are any.
    pub(super) admission: Option<String>,
    /// The chart's memory limit, in MiB.
    pub(super) limit: u64,
    /// The tenant's namespace, client and certificate.
    pub(super) tenant: Namespace<'static>,
    pub(super) kubeconfig: PathBuf,
    pub(super) mallory: Arc<ClientConfig>,
    /// A user without a right.
    pub(super) stranger: Arc<ClientConfig>,
    /// An administrator.
    pub(super) alice: Arc<ClientConfig>,
    /// Namespaces of others: managed by the server, and by the bare client.
    pub(super) healthy: Namespace<'static>,
    pub(super) bare: Namespace<'static>,
    /// The tenant's managed Deployments whose corrections hang.
    pub(super) hanging: Vec<String>,
    /// The tenant's managed StatefulSets.
    pub(super) corrected: Vec<String>,
    _webhook: HangingWebhook,
}

impl Scene {
    pub(super) async fn new(server: &Path, size: Size, mode: Mode) -> Result<Self> {
        let exempt = ["--set=admission.exemptGroups={system:masters}"];
        let cluster = match mode {
            Mode::Off => TestCluster::start_program(Options::default(), server, &[]).await?,
            Mode::Guard => TestCluster::start_with_admission(Options::default(), server, "guard", &exempt).await?,
        };
        // It ends with the process: tasks of several threads use it.
        let cluster: &'static TestCluster = Box::leak(Box::new(cluster));
        let client = cluster.control_plane.client().await?;
        let process = cluster.server().await?.process;
        let (grpc, http) = (process.address("grpc")?.to_string(), process.address("http")?.to_string());
        let admission = (mode == Mode::Guard).then(|| process.address("admission")).transpose()?;
        let [tenant, healthy, bare] = [
            Namespace::new(cluster, "tenant").await?,
            Namespace::new(cluster, "healthy").await?,
            Namespace::new(cluster, "bare").await?,
        ];
        let mallory = User::new(cluster, "mallory")?;
        mallory.grant_edit(&tenant.name).await?;
        let editor = self::client(&mallory.kubeconfig).await?;

        let measured = names("web", MEASURED);
        for namespace in [&healthy, &bare] {
            namespace.create_all(&measured, deployment).await?;
        }
        healthy.create_all(&measured, |name| ReplicaCountManifest::deployment(name).manifest()).await?;
        let hanging = names("hanging", size.hanging);
        create_hanging(&tenant, &hanging).await?;
        let corrected = names("db", STATEFUL_SETS);
        create_others(&tenant, &corrected).await?;
        let webhook = HangingWebhook::start(&tenant, &hanging[0]).await?;
        missing_kinds::create(&editor, &tenant.name, size.missing_kinds).await?;
        create_huge_labels(&editor, &tenant.name).await?;
        populate(cluster, size).await?;
        let scene = Self {
            client,
            grpc,
            http,
            admission: admission.map(|address| address.to_string()),
            kubeconfig: mallory.kubeconfig.clone(),
            hanging,
            corrected,
            tenant,
            healthy,
            bare,
            limit: memory_limit()?,
            mallory: user(cluster, "mallory", None)?,
            stranger: user(cluster, "stranger", None)?,
            alice: user(cluster, "alice", Some("replica-count-manager:admins"))?,
            _webhook: webhook,
            cluster,
        };
        scene.wait_until_known(size).await?;
        Ok(scene)
    }

    /// Waits until the server knows the objects of others, and manages the measured ones.
    async fn wait_until_known(&self, size: Size) -> Result<()> {
        let alice = ReplicasServiceClient::new(dial(self.grpc.clone(), self.alice.clone()));
        let get = async |namespace: &str, name: &str| {
            let target = Some(v1::Target { namespace: namespace.into(), name: name.into(), ..Default::default() });
            let request = v1::GetReplicaCountRequest { target, ..Default::default() };
            let answer = alice.clone().get_replica_count(request).await?.into_inner();
            answer.replica_count.context("there is none")
        };
        wait::until("all objects", 10 * PATIENCE, async || {
            let last = get(&team(size.managed - 1), &application(size.managed - 1)).await?;
            let measured = get(&self.healthy.name, &format!("web-{}", MEASURED - 1)).await?;
            ensure!(last.observed == Some(1) && measured.observed == Some(1), "{last:?}, {measured:?}");
            Ok(())
        })
        .await
    }

    /// The server's process. It is another one after a restart.
    pub(super) async fn pid(&self) -> Result<u32> {
        self.cluster.server().await?.process.pid()
    }

    /// The holder of the Lease, and how often it changed.
    pub(super) async fn lease(&self) -> Result<String> {
        let mut get = self.cluster.kubectl();
        let holder = "--output=jsonpath={range .items[*]}{.spec.holderIdentity} {.spec.leaseTransitions} {end}";
        run(get.args(["get", "leases", "--namespace", release::NAME, holder])).await
    }
}

/// A client of the API server for use in the current runtime.
pub(super) async fn client(kubeconfig: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    Ok(Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)?)
}

fn deployment(name: &str) -> String {
    Workload::deployment(name).replicas(1).without_pods().manifest()
}

pub(super) fn team(number: usize) -> String {
    format!("team-{}", number % TEAMS)
}

pub(super) fn application(number: usize) -> String {
    format!("application-{number}")
}

/// The TLS configuration of a user.
fn user(cluster: &TestCluster, name: &str, group: Option<&str>) -> Result<Arc<ClientConfig>> {
    let mut params = client_params(name);
    group.into_iter().for_each(|group| params.distinguished_name.push(DnType::OrganizationName, group));
    let certificates = cluster.certificates();
    Ok(Arc::new(TestCa::load(certificates)?.sign(params)?.tls_config(&certificates.join("ca/ca.crt"))?))
}

/// The limit of the chart, in MiB.
fn memory_limit() -> Result<u64> {
    let values = std::fs::read_to_string(format!("{}/values.yaml", release::CHART))?;
    let values: Value = serde_yaml::from_str(&values)?;
    let limit = values["resources"]["limits"]["memory"].as_str().context("no limit")?;
    Ok(limit.strip_suffix("Mi").context("not in Mi")?.parse()?)
}

async fn create_hanging(tenant: &Namespace<'_>, hanging: &[String]) -> Result<()> {
    tenant.create_all(hanging, deployment).await?;
    tenant.create_all(hanging, |name| ReplicaCountManifest::deployment(name).manifest()).await
}

/// Creates managed StatefulSets, and a managed ReplicaSet, which makes the server watch all ReplicaSets.
async fn create_others(tenant: &Namespace<'_>, stateful_sets: &[String]) -> Result<()> {
    tenant.create_all(stateful_sets, |name| Workload::stateful_set(name).replicas(1).manifest()).await?;
    tenant.create(&Workload::replica_set("alone").replicas(1)).await?;
    let count = |kind: &'static str, name: &str| {
        let object = format!("{}.{name}", kind.to_lowercase());
        ReplicaCountManifest::deployment(name).of_kind("apps/v1", kind).name(&object).manifest()
    };
    tenant.create_all(stateful_sets, |name| count("StatefulSet", name)).await?;
    tenant.create_all(&["alone".to_owned()], |name| count("ReplicaSet", name)).await
}

/// Creates Deployments with as many labels as an object may have.
async fn create_huge_labels(editor: &Client, namespace: &str) -> Result<()> {
    let labels: serde_json::Map<_, _> =
        (0..HUGE_LABELS).map(|number| (format!("label-{number}"), json!("x"))).collect();
    let deployments: Api<Deployment> = Api::namespaced(editor.clone(), namespace);
    for name in names("huge", 10) {
        let mut huge: Deployment = serde_yaml::from_str(&deployment(&name))?;
        huge.labels_mut().extend(serde_json::from_value::<std::collections::BTreeMap<_, _>>(labels.clone().into())?);
        deployments.create(&PostParams::default(), &huge).await?;
    }
    Ok(())
}

/// Stores the Deployments of others, some of them managed, as copies of one that is at rest.
async fn populate(cluster: &'static TestCluster, size: Size) -> Result<()> {
    for number in 0..TEAMS {
        run(cluster.kubectl().args(["create", "namespace", &team(number)])).await?;
    }
    let original = Namespace::new(cluster, "original").await?;
    original.create(&Workload::deployment("original").replicas(1).without_pods()).await?;
    original.create_all(&["original".to_owned()], |name| ReplicaCountManifest::deployment(name).manifest()).await?;
    let is_placed = |count: &Value| count["status"]["observed"] == 1;
    original.wait_for_replica_count("deployment.original", "the original in place", is_placed).await?;
    let count = original.get("replicacount/deployment.original").await?;
    let deployment = wait::until("the original at rest", PATIENCE, async || {
        let deployment = original.get("deployment/original").await?;
        ensure!(deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"], "{deployment}");
        Ok(deployment)
    })
    .await?;
    let deployments = (0..size.deployments).map(|number| {
        let mut copy = deployment.clone();
        copy["metadata"]["namespace"] = team(number).into();
        copy["metadata"]["name"] = application(number).into();
        Ok(copy)
    });
    cluster.control_plane.populate("deployments", deployments).await?;
    let counts = (0..size.managed).map(|number| {
        let mut copy = count.clone();
        copy["metadata"]["namespace"] = team(number).into();
        copy["metadata"]["name"] = format!("deployment.{}", application(number)).into();
        copy["spec"]["scaleTargetRef"]["name"] = application(number).into();
        Ok(copy)
    });
    cluster.control_plane.populate("replica-count-manager.io/replicacounts", counts).await
}
