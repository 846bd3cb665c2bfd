//! Users of the plugin who log in.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use cluster::run;
use serde_json::Value;
use tokio::process::Command;

use crate::{
    kubectl_replicas::{Outcome, outcome},
    release,
    test_cluster::TestCluster,
};

/// The flag of helm that makes our kubelet run the pods of a release instead of kwok.
pub const RUN_PODS: &str = r"--set-string=podAnnotations.replica-count-manager\.io/run=true";

impl TestCluster {
    /// Installs the chart with its default values and more flags of helm. No Secret is created beforehand.
    pub async fn install_managed(&self, flags: &[&str]) -> Result<()> {
        run(self.kubectl().args(["create", "namespace", release::NAME])).await?;
        let mut helm = self.helm();
        helm.args(["install", release::NAME, release::CHART, "--namespace", release::NAME, RUN_PODS]).args(flags);
        run(helm.args(["--wait", "--timeout=2m"])).await.map(drop)
    }
}

/// A user with a kubeconfig. The user's configuration of the plugin does not exist yet.
pub struct User<'a> {
    /// The user name.
    pub name: String,
    /// The plugin's configuration file.
    pub config: PathBuf,
    /// The kubeconfig.
    pub kubeconfig: PathBuf,
    cluster: &'a TestCluster,
}

impl<'a> User<'a> {
    /// Makes a kubeconfig with a client certificate of the cluster.
    pub fn new(cluster: &'a TestCluster, name: &str) -> Result<Self> {
        let config = cluster.folder().join(format!("home-of-{name}/config.yaml"));
        Ok(Self {
            name: name.to_owned(),
            config,
            kubeconfig: cluster.control_plane.kubeconfig_for(name, None)?,
            cluster,
        })
    }

    /// Grants the right to forward a port to the server.
    pub async fn grant_connect(&self) -> Result<()> {
        self.bind("rolebinding", &["--role=replica-count-manager-connect", "--namespace", release::NAME]).await
    }

    /// Grants the right to request a certificate.
    pub async fn grant_login(&self) -> Result<()> {
        self.bind("clusterrolebinding", &["--clusterrole=replica-count-manager-login"]).await
    }

    /// Grants the role `edit` in a namespace.
    pub async fn grant_edit(&self, namespace: &str) -> Result<()> {
        self.bind("rolebinding", &["--clusterrole=edit", "--namespace", namespace]).await
    }

    async fn bind(&self, kind: &str, role: &[&str]) -> Result<()> {
        let mut bind = self.cluster.kubectl();
        bind.args(["create", kind, &self.name, &format!("--user={}", self.name)]).args(role);
        run(&mut bind).await.map(drop)
    }

    /// Prepares `kubectl replicas` as this user.
    pub fn plugin(&self, arguments: &[&str]) -> Command {
        let mut plugin = self.cluster.plugin();
        plugin.env("KUBECONFIG", &self.kubeconfig).env("KUBECTL_REPLICAS_CONFIG", &self.config).args(arguments);
        plugin.env("KUBECTL_REPLICAS_STATE", self.config.with_file_name("operations.json"));
        plugin
    }

    /// Runs `kubectl replicas` as this user, and returns its result even if it failed.
    pub async fn try_run(&self, arguments: &[&str]) -> Result<Outcome> {
        outcome(&mut self.plugin(arguments)).await
    }

    /// Runs `kubectl replicas` as this user, and returns its standard output.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        let outcome = self.try_run(arguments).await?;
        ensure!(outcome.code == Some(0), "{arguments:?}: {outcome:?}");
        Ok(outcome.stdout)
    }

    /// The only context's entry in the user's configuration.
    pub fn entry(&self) -> Result<Value> {
        let mut config: Value = serde_yaml::from_str(&fs::read_to_string(&self.config)?)?;
        let contexts = config["contexts"].as_object_mut().context("no contexts")?;
        ensure!(contexts.len() == 1, "not one context: {contexts:?}");
        contexts.values_mut().next().map(Value::take).context("no entry")
    }

    /// Changes the only context's entry in the user's configuration.
    pub fn edit_entry(&self, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut config: Value = serde_yaml::from_str(&fs::read_to_string(&self.config)?)?;
        config["contexts"].as_object_mut().and_then(|all| all.values_mut().next()).map(change).context("no entry")?;
        Ok(fs::write(&self.config, config.to_string())?)
    }
}
