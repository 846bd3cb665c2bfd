//! Starts a cluster: certificates, components, nodes.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;

use crate::certificates::{Authority, Subject, save_kubeconfig, save_signing_key};
use crate::client::client;
use crate::cluster_files::{ADMIN, ClusterFiles};
use crate::component::Component;
use crate::egress;
use crate::kwok;
use crate::processes::Processes;
use crate::tools::Tools;
use crate::wait;

/// RBAC does not restrict this group.
const MASTERS: Option<&str> = Some("system:masters");

/// Two nodes, so that anti-affinity and spreading have an effect.
const NODES: [&str; 2] = ["node-a", "node-b"];

/// The timeout of each step. It is far longer than a step takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Creates every certificate, key and kubeconfig file, and returns the authority that can issue more.
pub(crate) fn certificates(files: &ClusterFiles) -> Result<Authority> {
    let pki = files.folder.join("pki");
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

    let admin = Subject { name: ADMIN, group: MASTERS, hosts: &[] };
    let controller_manager = Subject { name: "system:kube-controller-manager", group: None, hosts: &[] };
    let scheduler = Subject { name: "system:kube-scheduler", group: None, hosts: &[] };
    for (file, user) in [(ADMIN, admin), ("controller-manager", controller_manager), ("scheduler", scheduler)] {
        let pair = authority.issue(&user)?;
        save_kubeconfig(files.kubeconfig(file), &files.server(), &authority.certificate(), &pair)?;
    }
    Ok(authority)
}

/// Starts the components and waits until a pod could run.
pub(crate) async fn start(processes: &Processes, tools: &Tools) -> Result<()> {
    kwok::save_configuration(&processes.files, tools.kwok_files())?;
    egress::save_configuration(&processes.files)?;
    // The API server waits for etcd itself.
    for component in [Component::Etcd, Component::ApiServer] {
        processes.handle(component).spawn()?;
    }
    for component in [Component::Etcd, Component::ApiServer] {
        processes.handle(component).wait_until_serving().await?;
    }
    let client = client(&processes.files.kubeconfig(ADMIN)).await?;
    for component in [Component::ControllerManager, Component::Scheduler] {
        processes.handle(component).spawn()?;
    }
    define(&client, tools).await?;
    processes.handle(Component::Kwok).spawn()?;
    create_nodes(&client).await?;
    for component in [Component::ControllerManager, Component::Scheduler, Component::Kwok] {
        processes.handle(component).wait_until_serving().await?;
    }
    wait_until_usable(&client).await
}

/// Creates kwok's CRDs. kwok waits until the API server serves them.
async fn define(client: &Client, tools: &Tools) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in kwok::definitions(tools.kwok_files())? {
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

/// Waits for ready nodes, and for the default service account, which pods need.
async fn wait_until_usable(client: &Client) -> Result<()> {
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
