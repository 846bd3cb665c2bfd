//! The chart, installed with Helm 3 or 4 by a user who has only the documented rights.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cluster::{run, wait};
use contract::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use serde_json::Value;

use crate::{
    channel::{Certificate, connect},
    constants::{PATIENCE, ROOT},
    namespace::Namespace,
    release::{self, CHART, NAME},
    test_cluster::TestCluster,
};

/// The name of the roles in `docs/rights`.
const ROLE: &str = "replica-count-manager-installer";

/// The major version of Helm that installs the chart.
#[derive(Clone, Copy, Debug)]
pub enum Helm {
    /// Helm 3.
    V3,
    /// Helm 4.
    V4,
}

/// A namespace for a release of the chart, and the user who installs it there.
pub struct Installation<'a> {
    /// The cluster of the release.
    pub cluster: &'a TestCluster,
    /// The namespace of the release.
    pub namespace: String,
    /// The folder of the server's certificates.
    pub certificates: PathBuf,
    kubeconfig: PathBuf,
    values: Vec<String>,
}

impl<'a> Installation<'a> {
    /// Prepares a release that manages all namespaces, in the namespace that the documentation names.
    pub async fn of_all_namespaces(cluster: &'a TestCluster) -> Result<Self> {
        run(cluster.kubectl().args(["create", "namespace", NAME])).await?;
        grant(cluster, "installer.yaml", NAME, NAME).await?;
        let user = format!("--user={NAME}");
        let role = format!("--clusterrole={ROLE}");
        run(cluster.kubectl().args(["create", "clusterrolebinding", ROLE, &role, &user])).await?;
        Self::new(cluster, NAME, cluster.certificates().to_owned(), &[]).await
    }

    /// Prepares a release that manages only its own namespace.
    pub async fn of_one_namespace(namespace: &Namespace<'a>) -> Result<Self> {
        let (cluster, name) = (namespace.cluster, &namespace.name);
        grant(cluster, "installer-of-one-namespace.yaml", "shop", name).await?;
        let certificates = cluster.folder().join(format!("certificates-{name}"));
        release::make_certificates_for(&certificates, name).await?;
        let namespace = format!("--set=namespace={name}");
        Self::new(cluster, name, certificates, &[&namespace, "--set=crds.enabled=false"]).await
    }

    async fn new(cluster: &'a TestCluster, namespace: &str, certificates: PathBuf, values: &[&str]) -> Result<Self> {
        release::create_secret(&cluster.control_plane, namespace, &certificates, "server/server.crt").await?;
        Ok(Self {
            cluster,
            namespace: namespace.to_owned(),
            certificates,
            kubeconfig: cluster.control_plane.kubeconfig_for(namespace, None)?,
            // One replica, so that a test knows which one it watches.
            values: release::VALUES
                .iter()
                .chain(&["--set=replicaCount=1"])
                .chain(values)
                .map(|&value| value.to_owned())
                .collect(),
        })
    }
}

/// Grants documented rights to the user who has the namespace's name. The documentation calls the namespace `example`.
async fn grant(cluster: &TestCluster, file: &str, example: &str, namespace: &str) -> Result<()> {
    let rights = Path::new(ROOT).join("docs/rights").join(file);
    let rights = std::fs::read_to_string(&rights).with_context(|| format!("failed to read {}", rights.display()))?;
    let rights = rights.replace(&format!("namespace: {example}\n"), &format!("namespace: {namespace}\n"));
    let manifest = cluster.folder().join(format!("{namespace}-{file}"));
    std::fs::write(&manifest, rights)?;
    run(cluster.kubectl().args(["create", "--filename"]).arg(&manifest)).await?;
    let mut bind = cluster.kubectl();
    bind.args(["create", "rolebinding", ROLE, "--namespace", namespace]);
    run(bind.args([format!("--role={ROLE}"), format!("--user={namespace}")])).await.map(drop)
}

impl Installation<'_> {
    /// Installs a chart, or upgrades the release to it, and waits until the server is ready.
    pub async fn install(&self, helm: Helm, chart: &Path, values: &[&str]) -> Result<()> {
        let chart = chart.to_str().context("the chart's path is not UTF-8")?;
        let arguments = [&["upgrade", "--install", NAME, chart, "--wait", "--timeout=2m"], values].concat();
        let values: Vec<_> = self.values.iter().map(String::as_str).collect();
        self.helm(helm, &[arguments, values].concat()).await?;
        self.wait_for_one_pod().await
    }

    /// Runs `helm test`.
    pub async fn test(&self, helm: Helm) -> Result<()> {
        self.helm(helm, &["test", NAME, "--timeout=1m"]).await.map(drop)
    }

    /// Uninstalls the release, and waits until its objects are gone.
    pub async fn uninstall(&self, helm: Helm) -> Result<()> {
        self.helm(helm, &["uninstall", NAME, "--wait", "--timeout=2m"]).await.map(drop)
    }

    /// Renders the chart, without the pod of its test.
    pub async fn render(&self, helm: Helm) -> Result<String> {
        let values: Vec<_> = self.values.iter().map(String::as_str).collect();
        self.helm(helm, &[&["template", NAME, CHART, "--skip-tests"], &values[..]].concat()).await
    }

    async fn helm(&self, helm: Helm, arguments: &[&str]) -> Result<String> {
        let mut command = match helm {
            Helm::V3 => self.cluster.helm3(),
            Helm::V4 => self.cluster.helm(),
        };
        run(command.env("KUBECONFIG", &self.kubeconfig).args(["--namespace", &self.namespace]).args(arguments)).await
    }

    /// Waits until there is one server pod. A pod that is stopping may still make corrections and count them.
    pub async fn wait_for_one_pod(&self) -> Result<()> {
        wait::until("one server pod alone", PATIENCE, async || {
            let mut get = self.cluster.kubectl();
            get.args(["get", "pods", "--namespace", &self.namespace, "--output=name"]);
            let pods = run(get.arg("--selector=app.kubernetes.io/component=server")).await?;
            ensure!(pods.lines().count() == 1, "there are {pods:?}");
            Ok(())
        })
        .await
    }

    /// Sets the count of a Deployment through the server, and waits until the server has observed it.
    pub async fn set(&self, target: &Namespace<'_>, name: &str, replicas: i32) -> Result<()> {
        let server = self.cluster.server_in(&self.namespace).await?.process;
        let channel = connect(server.address("grpc")?.to_string(), &Certificate::load(&self.certificates)?)?;
        let named = v1::Target { namespace: target.name.clone(), name: name.to_owned(), ..Default::default() };
        let request =
            v1::SetReplicaCountRequest { target: Some(named), replicas: Some(replicas), ..Default::default() };
        ReplicasServiceClient::new(channel).set_replica_count(request).await?;
        let there = |count: &Value| count["status"]["observed"] == replicas;
        target.wait_for_replica_count(&format!("deployment.{name}"), "the count in place", there).await.map(drop)
    }
}

/// Copies the chart and turns it into an earlier version, whose CRD lacks `reason`.
pub async fn previous_chart(folder: &Path) -> Result<()> {
    run(tokio::process::Command::new("cp").args(["--recursive", CHART]).arg(folder)).await?;
    let edit = |file: &str, change: &dyn Fn(&mut Value) -> Option<()>| -> Result<()> {
        let mut content = serde_yaml::from_str(&std::fs::read_to_string(folder.join(file))?)?;
        change(&mut content).with_context(|| format!("{file} has nothing to change"))?;
        Ok(std::fs::write(folder.join(file), content.to_string())?)
    };
    edit("Chart.yaml", &|chart| {
        chart["version"] = "0.0.1".into();
        Some(())
    })?;
    edit("files/crd.yaml", &|definition| {
        let version = definition.pointer_mut("/spec/versions/0")?;
        let columns = version["additionalPrinterColumns"].as_array_mut()?;
        columns.remove(columns.iter().position(|column| column["jsonPath"] == ".spec.reason")?);
        let properties = version.pointer_mut("/schema/openAPIV3Schema/properties/spec/properties")?;
        properties.as_object_mut()?.remove("reason").map(drop)
    })
}
