//! The CRD: the chart contains the one of the code, and the API server enforces its rules.

use anyhow::Result;
use kube::CustomResourceExt;
use replica_count_manager::resources::ReplicaCount;

use support::{Namespace, manifests::ReplicaCountManifest};

#[test]
fn the_charts_crd_matches_the_code() -> Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/replica-count-manager/files/crd.yaml");
    let chart = std::fs::read_to_string(path)?;
    let chart = chart.split_once('\n').map_or("", |(_comment, definition)| definition);
    assert_eq!(chart, serde_yaml::to_string(&ReplicaCount::crd())?, "run `make chart`");
    Ok(())
}

#[tokio::test]
async fn the_api_server_enforces_the_rules_of_the_crd() -> Result<()> {
    let shop = Namespace::shared("rules").await?;
    let create =
        async |manifest: String| shop.kubectl_with(&["create", "--dry-run=server", "--filename=-"], &manifest).await;
    for accepted in [
        ReplicaCountManifest::deployment("web").replicas(0),
        ReplicaCountManifest::deployment("db").of_kind("apps/v1", "StatefulSet").name("statefulset.db").replicas(3),
        ReplicaCountManifest::deployment("web")
            .of_kind("argoproj.io/v1alpha1", "Rollout")
            .name("rollout.argoproj.io.web")
            .replicas(3),
        ReplicaCountManifest::deployment("web")
            .of_kind("v1", "ReplicationController")
            .name("replicationcontroller.core.web")
            .replicas(3),
    ] {
        create(accepted.manifest()).await?;
    }
    for (refused, reason) in [
        (ReplicaCountManifest::deployment("web").name("web").replicas(3), "metadata.name must be"),
        (ReplicaCountManifest::deployment("web").name("deployment.api").replicas(3), "metadata.name must be"),
        (
            ReplicaCountManifest::deployment("web")
                .of_kind("argoproj.io/v1alpha1", "Rollout")
                .name("rollout.web")
                .replicas(3),
            "metadata.name must be",
        ),
        (ReplicaCountManifest::deployment("web").replicas(-1), "greater than or equal to 0"),
        (ReplicaCountManifest::deployment("web").of_kind("v1", "Deployment"), "metadata.name must be"),
        (ReplicaCountManifest::deployment("web").of_kind("/v1", "Deployment"), "spec.scaleTargetRef.apiVersion"),
        (ReplicaCountManifest::deployment("web").of_kind("", "Deployment"), "spec.scaleTargetRef.apiVersion"),
        (
            ReplicaCountManifest::deployment("web")
                .of_kind("core/v1", "ReplicationController")
                .name("replicationcontroller.core.web"),
            "write v1",
        ),
        (
            ReplicaCountManifest::deployment("web")
                .of_kind("v1", "ReplicationController")
                .name("replicationcontroller.web"),
            "metadata.name must be",
        ),
        (
            ReplicaCountManifest::deployment("x")
                .of_kind("replica-count-manager.io/v1", "ReplicaCount")
                .name("replicacount.replica-count-manager.io.x"),
            "cannot be the target of another",
        ),
    ] {
        let error = create(refused.manifest()).await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(reason), "should be refused with {reason:?}: {error:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_target_is_immutable_except_for_its_version() -> Result<()> {
    let shop = Namespace::shared("immutable").await?;
    let manifest = ReplicaCountManifest::deployment("web")
        .of_kind("argoproj.io/v1alpha1", "Rollout")
        .name("rollout.argoproj.io.web")
        .replicas(3);
    shop.kubectl_with(&["create", "--filename=-"], &manifest.manifest()).await?;
    let patch = async |reference: &str| {
        let patch = format!("--patch={{\"spec\":{{\"scaleTargetRef\":{reference}}}}}");
        shop.kubectl(&["patch", "replicacount/rollout.argoproj.io.web", "--type=merge", &patch]).await
    };
    patch("{\"apiVersion\":\"argoproj.io/v1\"}").await?;
    for other in ["{\"kind\":\"rollout\"}", "{\"name\":\"api\"}", "{\"apiVersion\":\"example.com/v1\"}"] {
        let error = patch(other).await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("immutable"), "{other} should be refused: {error:?}");
    }
    Ok(())
}

#[tokio::test]
async fn kubectl_get_shows_the_counts() -> Result<()> {
    let shop = Namespace::shared("columns").await?;
    shop.deployment("web", 2).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replica_count("deployment.web", "three ready replicas", |count| count["status"]["ready"] == 3)
        .await?;
    let table = shop.kubectl(&["get", "rcount"]).await?;
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(lines.next().unwrap_or_default()[..4], ["NAME", "DESIRED", "CURRENT", "READY"]);
    assert_eq!(lines.next().unwrap_or_default()[..5], ["deployment.web", "3", "3", "3/3", "0"]);
    Ok(())
}
