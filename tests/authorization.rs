//! RBAC decides about every call, and a refusal says which command would allow it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster::{run, wait};
use contract::{
    deployments::{
        GetDeploymentRequest, ListDeploymentsRequest, SetDeploymentRequest,
        deployments_service_client::DeploymentsServiceClient,
    },
    replicas::v1::{self, replicas_service_client::ReplicasServiceClient},
};
use tonic::{Code, Status, transport::Channel};

use support::{Namespace, PATIENCE};

/// Upper bound until a revoked right is refused. The documentation says 10 s, and the machine may be slow.
const SOON: Duration = Duration::from_secs(12);

/// A call that a user has made.
struct Called {
    name: &'static str,
    /// The verb on ReplicaCounts that the call needs.
    verb: &'static str,
    result: Result<(), Status>,
}

impl Called {
    fn new<T>(name: &'static str, verb: &'static str, result: Result<T, Status>) -> Self {
        Self { name, verb, result: result.map(drop) }
    }
}

/// A user with a role in a namespace, and the verbs that this allows.
struct User {
    name: &'static str,
    role: &'static str,
    /// The verbs in the namespace.
    own: &'static [&'static str],
    /// The verbs in all namespaces.
    across: &'static [&'static str],
}

/// Makes every call in a namespace.
async fn calls(channel: &Channel, namespace: &str) -> Vec<Called> {
    let (name, own) = ("web".to_owned(), namespace.to_owned());
    let mut replicas = ReplicasServiceClient::new(channel.clone());
    let mut deployments = DeploymentsServiceClient::new(channel.clone());
    let target = |name: &str| Some(v1::Target { namespace: own.clone(), name: name.into(), ..Default::default() });
    let list = v1::ListReplicaCountsRequest { namespace: own.clone(), ..Default::default() };
    let get = v1::GetReplicaCountRequest { target: target("web"), ..Default::default() };
    let set = |name: &str| v1::SetReplicaCountRequest {
        target: target(name),
        replicas: Some(3),
        dry_run: true,
        ..Default::default()
    };
    let unset = v1::UnsetReplicaCountRequest { target: target("web"), dry_run: true, ..Default::default() };
    let watch = v1::WatchReplicaCountsRequest { namespace: own.clone(), ..Default::default() };
    let set_deployment = SetDeploymentRequest { name: name.clone(), namespace: own.clone(), replicas: Some(3) };
    let get_deployment = GetDeploymentRequest { name, namespace: own.clone() };
    vec![
        Called::new("ListReplicaCounts", "list", replicas.list_replica_counts(list).await),
        Called::new("GetReplicaCount", "get", replicas.get_replica_count(get).await),
        Called::new("SetReplicaCount of a managed one", "update", replicas.set_replica_count(set("web")).await),
        Called::new("SetReplicaCount of a new one", "create", replicas.set_replica_count(set("new")).await),
        Called::new("UnsetReplicaCount", "delete", replicas.unset_replica_count(unset).await),
        Called::new("WatchReplicaCounts", "watch", replicas.watch_replica_counts(watch).await),
        Called::new(
            "ListDeployments",
            "list",
            deployments.list_deployments(ListDeploymentsRequest { namespace: own }).await,
        ),
        Called::new("GetDeployment", "get", deployments.get_deployment(get_deployment).await),
        Called::new("SetDeployment", "update", deployments.set_deployment(set_deployment).await),
    ]
}

/// Makes every call for all namespaces.
async fn calls_across(channel: &Channel) -> Vec<Called> {
    let mut replicas = ReplicasServiceClient::new(channel.clone());
    let mut deployments = DeploymentsServiceClient::new(channel.clone());
    vec![
        Called::new(
            "ListReplicaCounts",
            "list",
            replicas.list_replica_counts(v1::ListReplicaCountsRequest::default()).await,
        ),
        Called::new(
            "WatchReplicaCounts",
            "watch",
            replicas.watch_replica_counts(v1::WatchReplicaCountsRequest::default()).await,
        ),
        Called::new("ListDeployments", "list", deployments.list_deployments(ListDeploymentsRequest::default()).await),
    ]
}

/// Checks that exactly the calls with these verbs succeeded, and that the refusals of the others contain a command.
fn check(user: &str, place: &str, called: Vec<Called>, verbs: &[&str]) -> Result<()> {
    for Called { name: call, verb, result } in called {
        match (verbs.contains(&verb), result) {
            (true, Ok(())) => {}
            (true, Err(status)) => anyhow::bail!("{user} should be allowed {call} in {place}: {status}"),
            (false, Ok(())) => anyhow::bail!("{user} should be refused {call} in {place}"),
            (false, Err(status)) => {
                let start = format!("user {user:?} cannot {verb} replicacounts.replica-count-manager.io");
                let says = status.code() == Code::PermissionDenied && status.message().starts_with(&start);
                ensure!(says && status.message().contains("; to allow it: kubectl create "), "{call}: {status}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn rbac_authorizes_every_call_of_both_services() -> Result<()> {
    const READ: [&str; 3] = ["get", "list", "watch"];
    const WRITE: [&str; 6] = ["get", "list", "watch", "create", "update", "delete"];
    let (shop, other) = (Namespace::shared("authorized").await?, Namespace::shared("unauthorized").await?);
    for namespace in [&shop, &other] {
        namespace.deployment("web", 3).await?;
        namespace.deployment("new", 1).await?;
        namespace.set("web", 3).await?;
        namespace
            .wait_for_replica_count("deployment.web", "the target in place", |count| count["status"]["observed"] == 3)
            .await?;
    }
    for User { name, role, own, across } in [
        User { name: "viewer", role: "replica-count-manager-viewer", own: &READ, across: &[] },
        User { name: "editor", role: "replica-count-manager-editor", own: &WRITE, across: &[] },
        User { name: "admin", role: "replica-count-manager-admin", own: &WRITE, across: &[] },
        // The chart's roles are aggregated to the cluster's own roles.
        User { name: "edit", role: "edit", own: &WRITE, across: &[] },
        User { name: "outsider", role: "", own: &[], across: &[] },
        User { name: "root", role: "cluster-admin", own: &WRITE, across: &WRITE },
    ] {
        let user = format!("{name}-{}", shop.name);
        let (role, subject) = (format!("--clusterrole={role}"), format!("--user={user}"));
        match name {
            "outsider" => {}
            "root" => drop(shop.kubectl(&["create", "clusterrolebinding", &user, &role, &subject]).await?),
            _ => drop(shop.kubectl(&["create", "rolebinding", &user, &role, &subject]).await?),
        }
        let channel = shop.cluster.channel_of(&user).await?;
        wait::until(&format!("the rights of {user}"), PATIENCE, async || {
            check(&user, &shop.name, calls(&channel, &shop.name).await, own)?;
            check(&user, &other.name, calls(&channel, &other.name).await, across)?;
            check(&user, "all namespaces", calls_across(&channel).await, across)
        })
        .await?;
        let info = ReplicasServiceClient::new(channel).get_server_info(v1::GetServerInfoRequest {}).await?;
        assert_eq!(info.into_inner().user, user, "everybody may ask who they are");
        if name == "root" {
            shop.kubectl(&["delete", "clusterrolebinding", &user]).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_revoked_right_ends_open_watches_soon() -> Result<()> {
    let shop = Namespace::shared("revoked").await?;
    let user = format!("user-{}", shop.name);
    let (role, subject) = ("--clusterrole=replica-count-manager-viewer", format!("--user={user}"));
    shop.kubectl(&["create", "rolebinding", "viewer", role, &subject]).await?;
    let mut client = ReplicasServiceClient::new(shop.cluster.channel_of(&user).await?);
    let request = v1::WatchReplicaCountsRequest { namespace: shop.name.clone(), ..Default::default() };
    let mut watch = wait::until("the watch", PATIENCE, async || {
        Ok(client.clone().watch_replica_counts(request.clone()).await?.into_inner())
    })
    .await?;
    watch.message().await?.context("the watch has no snapshot")?;
    shop.kubectl(&["delete", "rolebinding", "viewer"]).await?;
    let removed = Instant::now();
    let end = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Err(end) = watch.message().await {
                return end;
            }
        }
    });
    assert_eq!(end.await.context("the watch goes on")?.code(), Code::PermissionDenied);
    assert!(removed.elapsed() < SOON, "{:?}", removed.elapsed());
    let again = client.watch_replica_counts(request).await.err().context("should be refused")?;
    assert_eq!(again.code(), Code::PermissionDenied, "{again}");
    Ok(())
}

#[tokio::test]
async fn the_command_in_a_refusal_grants_the_right() -> Result<()> {
    let shop = Namespace::shared("remedy").await?;
    shop.deployment("web", 1).await?;
    let user = format!("user-{}", shop.name);
    let client = ReplicasServiceClient::new(shop.cluster.channel_of(&user).await?);
    let target = Some(v1::Target { namespace: shop.name.clone(), name: "web".into(), ..Default::default() });
    let set = async || {
        let request = v1::SetReplicaCountRequest { target: target.clone(), replicas: Some(2), ..Default::default() };
        client.clone().set_replica_count(request).await
    };
    let refusal = set().await.err().context("should be refused")?;
    let (_, remedy) = refusal.message().split_once("to allow it: ").context("there is no remedy")?;
    run(shop.cluster.command("sh").args(["-c", remedy])).await?;
    wait::until("the right", PATIENCE, async || Ok(set().await?)).await?;
    shop.wait_for_replicas("deployment/web", 2).await
}
