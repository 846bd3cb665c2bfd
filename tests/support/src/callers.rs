//! Clients of the API server that write as other users.

use anyhow::{Context, Result};
use cluster::run;
use kube::{
    Client, Config,
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
};
use parking_lot::Mutex;

use crate::{namespace::Namespace, test_cluster::TestCluster};

/// A group whose members may edit the objects of all namespaces.
pub const EDITORS: &str = "editors";

/// Gives the group [`EDITORS`] its rights.
pub async fn create_editors(cluster: &TestCluster) -> Result<()> {
    let group = format!("--group={EDITORS}");
    let bind = ["create", "clusterrolebinding", EDITORS, "--clusterrole=edit", &group];
    run(cluster.kubectl().args(bind)).await.map(drop)
}

async fn config(cluster: &TestCluster, user: &str, group: Option<&str>) -> Result<Config> {
    // Tests that use the same name share its file.
    static FILES: Mutex<()> = Mutex::new(());
    let kubeconfig = {
        let _turn = FILES.lock();
        Kubeconfig::read_from(cluster.control_plane.kubeconfig_for(user, group)?)?
    };
    Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}

/// A client with the certificate of an editor.
pub async fn editor(cluster: &TestCluster, user: &str) -> Result<Client> {
    Ok(Client::try_from(config(cluster, user, Some(EDITORS)).await?)?)
}

/// A client of an administrator who impersonates a user with these groups.
pub async fn impersonated(cluster: &TestCluster, user: &str, groups: &[&str]) -> Result<Client> {
    let mut config = config(cluster, "impersonator", Some("system:masters")).await?;
    config.auth_info.impersonate = Some(user.to_owned());
    config.auth_info.impersonate_groups = Some(groups.iter().map(|&group| group.to_owned()).collect());
    Ok(Client::try_from(config)?)
}

/// A client with the token of a new service account that may edit the objects of its namespace, and the account's user
/// name.
pub async fn service_account(namespace: &Namespace<'_>, name: &str) -> Result<(Client, String)> {
    namespace.kubectl(&["create", "serviceaccount", name]).await?;
    let account = format!("--serviceaccount={}:{name}", namespace.name);
    namespace.kubectl(&["create", "rolebinding", name, "--clusterrole=edit", &account]).await?;
    let token = namespace.kubectl(&["create", "token", name]).await?;
    // The certificate of this user is replaced by the token.
    let mut config = config(namespace.cluster, "nobody", None).await?;
    config.auth_info = AuthInfo { token: Some(token.trim().to_owned().into()), ..Default::default() };
    let client = Client::try_from(config).context("failed to use the token")?;
    Ok((client, format!("system:serviceaccount:{}:{name}", namespace.name)))
}
