//! Forged reviews, posted to the webhooks' own address: the server believes none of them.

use anyhow::{Context, Result, ensure};
use cluster::wait;
use serde_json::Value;

use super::{
    recording_cluster,
    ways::{Way, Written, refusal},
};
use support::{
    Namespace, PATIENCE, admission, callers,
    manifests::{ReplicaCountManifest, Workload, names},
    metric, release,
};

/// The user whom the forger accuses.
const ACCUSED: &str = "innocent";

/// The user who writes the counts.
const WRITER: &str = "forger";

/// What a forger knows.
#[derive(Clone, Copy, Debug)]
enum Knows {
    Nothing,
    /// A path of the right form.
    Form,
    /// The secret path. Users who may read the webhook configurations know it.
    Path,
}

/// Posts a forged review, and returns whether the server took it.
async fn post(address: &str, shop: &Namespace<'_>, knows: Knows, review: &Value) -> Result<bool> {
    let path = match knows {
        Knows::Nothing => "/validate".to_owned(),
        Knows::Form => format!("/{}/validate", "0".repeat(64)),
        Knows::Path => admission::secret_path(shop.cluster).await?,
    };
    // The server may refuse by closing the connection.
    let answer = admission::post(shop.cluster, address, &path, review.to_string().into_bytes()).await;
    Ok(answer.is_ok_and(|(status, _)| status == 200))
}

/// A Deployment that its controller has seen, so that the version before the next write is this one.
async fn at_rest(shop: &Namespace<'_>, name: &str) -> Result<Value> {
    wait::until("a Deployment at rest", PATIENCE, async || {
        let web = shop.get(&format!("deployment/{name}")).await?;
        ensure!(web["status"]["observedGeneration"] == web["metadata"]["generation"], "{web}");
        Ok(web)
    })
    .await
}

#[tokio::test]
async fn forged_reviews_name_nobody() -> Result<()> {
    let cluster = recording_cluster().await?;
    let cluster = &*cluster;
    let shop = Namespace::new(cluster, "forged").await?;
    let names = names("web", 3);
    shop.create_all(&names, |name| Workload::deployment(name).replicas(1).without_pods().manifest()).await?;
    shop.create_all(&names, |name| ReplicaCountManifest::deployment(name).manifest()).await?;
    let server = cluster.server().await?;
    let address = server.process.address("admission")?.to_string();
    let ambiguous = metric(&cluster.http("/metrics").await?.1, "reviews_ambiguous_total")?;
    let client = callers::editor(cluster, WRITER).await?;
    for (name, knows) in names.iter().zip([Knows::Nothing, Knows::Form, Knows::Path]) {
        let count_name = format!("deployment.{name}");
        let is_in_place = |count: &Value| count["status"]["observed"] == 1;
        shop.wait_for_replica_count(&count_name, "the target in place", is_in_place).await?;
        let web = Written::new(client.clone(), &shop.name, "Deployment", name);
        let let_through = admission::fail_opens(cluster).await?;
        let before = at_rest(&shop, name).await?;
        let is_taken = post(&address, &shop, knows, &admission::review(&before, 7, ACCUSED)).await?;
        ensure!(is_taken == matches!(knows, Knows::Path), "{knows:?}: taken is {is_taken}");
        let refused = refusal(web.write(Way::Merge, 7, WRITER, false).await)?;
        ensure!(refused.is_none(), "{refused:?}");
        let status = shop.wait_for_drifts(&count_name, 1).await?;
        let user = status["lastDrift"]["user"].as_str();
        match knows {
            Knows::Path => ensure!(user != Some(ACCUSED), "{status}"),
            _ => ensure!(
                user == Some(WRITER) || admission::fail_opens(cluster).await? > let_through,
                "{knows:?}: {status}"
            ),
        }
    }
    let log = cluster.log(release::NAME, &server.pod)?;
    let drifts = admission::logged_drifts(&log);
    ensure!(drifts.iter().all(|drift| drift.user.as_deref() != Some(ACCUSED)), "{drifts:?}");
    let now = metric(&cluster.http("/metrics").await?.1, "reviews_ambiguous_total")?;
    ensure!(now > ambiguous, "the erased name was not counted: {now}");
    Ok(())
}

#[tokio::test]
async fn a_request_without_the_path_is_refused_without_being_read() -> Result<()> {
    let cluster = recording_cluster().await?;
    let cluster = &*cluster;
    let address = cluster.server().await?.process.address("admission")?.to_string();
    let path = admission::secret_path(cluster).await?;
    let secret = path.split('/').nth(1).context("no secret")?.to_owned();
    ensure!(secret.len() == 64 && secret.chars().all(|c| c.is_ascii_hexdigit()), "32 bytes are expected: {path}");
    let review = br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u"}}"#;
    for path in ["/", "/validate", "/metrics", &format!("/{secret}"), &format!("/{secret}/other"), &secret[1..]] {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}/validate") };
        let answer = admission::post(cluster, &address, &path, review.to_vec()).await;
        ensure!(!answer.is_ok_and(|(status, _)| status == 200), "{path} was accepted");
    }
    // More than 8 MiB, with the path.
    let large = admission::post(cluster, &address, &path, vec![b' '; 9 << 20]).await;
    ensure!(!large.is_ok_and(|(status, _)| status == 200), "a body of 9 MiB was accepted");
    let (status, _) = admission::post(cluster, &address, &path, review.to_vec()).await?;
    ensure!(status == 200, "the path itself: {status}");
    Ok(())
}
