//! A user of a cluster where the server signs the certificates of clients.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use cluster::run;
use serde_json::Value;
use tokio::process::Command;

use super::{Outcome, World, outcome, release};

/// What the tests of the chart need beside its default values: our kubelet runs the pods.
pub const RUN: &str = r"--set-string=podAnnotations.replica-count-manager\.io/run=true";

impl World {
    /// Installs the chart with its default values and further flags of helm: nothing is prepared.
    pub async fn install_managed(&self, flags: &[&str]) -> Result<()> {
        run(self.cluster.kubectl().args(["create", "namespace", release::NAME])).await?;
        let mut helm = self.cluster.helm();
        helm.args(["install", release::NAME, release::CHART, "--namespace", release::NAME, RUN]).args(flags);
        run(helm.args(["--wait", "--timeout=2m"])).await.map(drop)
    }
}

/// A user with a kubeconfig, and a configuration of the plugin that does not exist yet.
pub struct User<'a> {
    /// The user name.
    pub name: String,
    /// The plugin's configuration file.
    pub config: PathBuf,
    /// The kubeconfig.
    pub kubeconfig: PathBuf,
    world: &'a World,
}

impl<'a> User<'a> {
    /// A user whose kubeconfig holds a certificate of the cluster.
    pub fn new(world: &'a World, name: &str) -> Result<Self> {
        let config = world.cluster.folder().join(format!("home-of-{name}/config.yaml"));
        Ok(Self { name: name.to_owned(), config, kubeconfig: world.cluster.kubeconfig_for(name, None)?, world })
    }

    /// Lets the user forward a port to the server.
    pub async fn may_connect(&self) -> Result<()> {
        self.bind("rolebinding", &["--role=replica-count-manager-connect", "--namespace", release::NAME]).await
    }

    /// Lets the user ask for a certificate.
    pub async fn may_log_in(&self) -> Result<()> {
        self.bind("clusterrolebinding", &["--clusterrole=replica-count-manager-login"]).await
    }

    /// Lets the user edit what is in a namespace.
    pub async fn may_edit(&self, namespace: &str) -> Result<()> {
        self.bind("rolebinding", &["--clusterrole=edit", "--namespace", namespace]).await
    }

    async fn bind(&self, kind: &str, role: &[&str]) -> Result<()> {
        let mut bind = self.world.cluster.kubectl();
        bind.args(["create", kind, &self.name, &format!("--user={}", self.name)]).args(role);
        run(&mut bind).await.map(drop)
    }

    /// Prepares `kubectl replicas` as this user.
    pub fn plugin(&self, arguments: &[&str]) -> Command {
        let mut plugin = self.world.plugin();
        plugin.env("KUBECONFIG", &self.kubeconfig).env("KUBECTL_REPLICAS_CONFIG", &self.config).args(arguments);
        plugin
    }

    /// Runs `kubectl replicas` as this user.
    pub async fn replicas(&self, arguments: &[&str]) -> Result<Outcome> {
        outcome(&mut self.plugin(arguments)).await
    }

    /// Runs the plugin, which must succeed, and returns what it printed.
    pub async fn does(&self, arguments: &[&str]) -> Result<String> {
        let outcome = self.replicas(arguments).await?;
        ensure!(outcome.code == Some(0), "{arguments:?}: {outcome:?}");
        Ok(outcome.stdout)
    }

    /// The entry of the user's configuration for its only context.
    pub fn entry(&self) -> Result<Value> {
        let mut config: Value = serde_yaml::from_str(&fs::read_to_string(&self.config)?)?;
        let contexts = config["contexts"].as_object_mut().context("no contexts")?;
        ensure!(contexts.len() == 1, "not one context: {contexts:?}");
        contexts.values_mut().next().map(Value::take).context("no entry")
    }

    /// Changes the entry of the user's configuration for its only context.
    pub fn edit_entry(&self, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut config: Value = serde_yaml::from_str(&fs::read_to_string(&self.config)?)?;
        config["contexts"].as_object_mut().and_then(|all| all.values_mut().next()).map(change).context("no entry")?;
        Ok(fs::write(&self.config, config.to_string())?)
    }
}
