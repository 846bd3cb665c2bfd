//! What has to happen once before a cluster can be used.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;

use crate::certificates::{Authority, Subject, save_kubeconfig, save_signing_key};
use crate::cluster::Cluster;
use crate::component::Component;
use crate::kwok;
use crate::site::Site;
use crate::wait;

/// The user of the cluster's main kubeconfig.
pub(crate) const ADMIN: &str = "admin";

/// The one group that RBAC does not restrict.
const MASTERS: Option<&str> = Some("system:masters");

/// Two, so that anti-affinity and spreading have something to work with.
const NODES: [&str; 2] = ["node-a", "node-b"];

/// Far longer than any step takes, even on a machine that does other work.
const PATIENCE: Duration = Duration::from_secs(120);

/// Creates every certificate, key and kubeconfig file, and returns the authority that issues further ones.
pub(crate) fn certificates(site: &Site) -> Result<Authority> {
    let pki = site.folder.join("pki");
    let authority = Authority::new("cluster")?;
    authority.save(&pki, "cluster")?;
    save_signing_key(&pki)?;

    let hosts = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "127.0.0.1", "10.96.0.1"];
    let api_server = Subject { name: "kube-apiserver", group: None, hosts: &hosts };
    authority.issue(&api_server)?.save(&pki, "api-server")?;
    let kubelet = Subject { name: "system:node:kwok", group: Some("system:nodes"), hosts: &["127.0.0.1"] };
    authority.issue(&kubelet)?.save(&pki, "kubelet")?;
    let kubelet_client = Subject { name: "kubelet-client", group: MASTERS, hosts: &[] };
    authority.issue(&kubelet_client)?.save(&pki, "kubelet-client")?;

    let front_proxy = Authority::new("front-proxy")?;
    front_proxy.save(&pki, "front-proxy")?;
    let front_proxy_client = Subject { name: "front-proxy-client", group: None, hosts: &[] };
    front_proxy.issue(&front_proxy_client)?.save(&pki, "front-proxy-client")?;

    let users = [
        (ADMIN, ADMIN, MASTERS),
        ("controller-manager", "system:kube-controller-manager", None),
        ("scheduler", "system:kube-scheduler", None),
    ];
    for (file, name, group) in users {
        let pair = authority.issue(&Subject { name, group, hosts: &[] })?;
        save_kubeconfig(site.kubeconfig(file), &site.server(), &authority.certificate(), &pair)?;
    }
    Ok(authority)
}

/// Starts the components and waits until a pod could run.
pub(crate) async fn start(cluster: &Cluster) -> Result<()> {
    kwok::save_configuration(cluster.site(), cluster.tools().kwok_files())?;
    // The API server waits for etcd itself.
    for component in [Component::Etcd, Component::ApiServer] {
        cluster.component(component).spawn()?;
    }
    for component in [Component::Etcd, Component::ApiServer] {
        cluster.component(component).serving().await?;
    }
    let client = cluster.client().await?;
    for component in [Component::ControllerManager, Component::Scheduler] {
        cluster.component(component).spawn()?;
    }
    define(&client, cluster).await?;
    cluster.component(Component::Kwok).spawn()?;
    create_nodes(&client).await?;
    for component in [Component::ControllerManager, Component::Scheduler, Component::Kwok] {
        cluster.component(component).serving().await?;
    }
    usable(&client).await
}

/// Installs kwok's custom resources. kwok itself waits for them to be served.
async fn define(client: &Client, cluster: &Cluster) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in kwok::definitions(cluster.tools().kwok_files())? {
        let definition = serde_json::from_value(definition)?;
        api.create(&PostParams::default(), &definition).await.context("failed to define kwok's resources")?;
    }
    Ok(())
}

async fn create_nodes(client: &Client) -> Result<()> {
    let api: Api<Node> = Api::all(client.clone());
    for name in NODES {
        let node = serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "annotations": {kwok::NODE_ANNOTATION: "fake"},
                "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
            },
        }))?;
        api.create(&PostParams::default(), &node).await.with_context(|| format!("failed to create the node {name}"))?;
    }
    Ok(())
}

/// Waits for ready nodes and for the service account without which no pod can be created.
async fn usable(client: &Client) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    for name in NODES {
        wait::until(&format!("the node {name} to be ready"), PATIENCE, || async {
            let status = nodes.get(name).await?.status.unwrap_or_default();
            let conditions = status.conditions.unwrap_or_default();
            let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
            ready.then_some(()).with_context(|| format!("its conditions are {conditions:?}"))
        })
        .await?;
    }
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let account = || async { Ok(accounts.get("default").await.map(drop)?) };
    wait::until("the default service account", PATIENCE, account).await
}
