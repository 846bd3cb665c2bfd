//! The rights of a server that manages certificates. It may write only its own Secrets and sign only for its own
//! signer, whatever RBAC grants it.

use anyhow::{Context, Result, ensure};
use cluster::run;
use serde_json::{Value, json};

use support::{TestCluster, presented::certificate_request, release};

/// A part of the fence's message.
const REFUSAL: &str = "may change counts and who owns them";

/// Checks that the account of an installed server writes only the Secrets of its certificates, and signs only for its
/// own signer. It tries with the account's own rights, and then with all rights.
pub(crate) async fn only_its_own_certificates(cluster: &TestCluster) -> Result<()> {
    let account = format!("--as=system:serviceaccount:{0}:{0}", release::NAME);
    let read = ["get", "secret", "sh.helm.release.v1.replica-count-manager.v1", "--namespace", release::NAME, &account];
    let refusal = run(cluster.kubectl().args(read)).await.err().context("should be refused")?.to_string();
    ensure!(refusal.contains("cannot get resource"), "{refusal}");

    let subject = format!("--serviceaccount={0}:{0}", release::NAME);
    let bind = ["create", "clusterrolebinding", "all", "--clusterrole=cluster-admin", &subject];
    run(cluster.kubectl().args(bind)).await?;
    for (allowed, manifest) in objects() {
        // The API server checks for an existing object only after the fence.
        let create = try_to(cluster, &["create", "--dry-run=server", &account], &manifest).await;
        let refused = create.as_ref().is_err_and(|error| error.to_string().contains(REFUSAL));
        let exists = create.as_ref().is_err_and(|error| error.to_string().contains("already exists"));
        ensure!(refused != allowed && (refused || exists || create.is_ok()), "{manifest}: {create:?}");
    }
    other_signers_are_not_its_own(cluster, &account).await
}

/// Objects that the account tries to create, and whether the fence allows it.
fn objects() -> Vec<(bool, Value)> {
    let object = |kind: &str, namespace: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}});
    let secret = |kind: &str, namespace: &str, name: &str| {
        let mut secret = object("Secret", namespace, name);
        secret["type"] = kind.into();
        secret["metadata"]["annotations"] = json!({"kubernetes.io/service-account.name": "default"});
        secret["data"] = json!({"tls.crt": "", "tls.key": ""});
        secret
    };
    let (ca, check) = ("replica-count-manager-ca", "replica-count-manager-check");
    let (tls, token) = ("kubernetes.io/tls", "kubernetes.io/service-account-token");
    vec![
        (true, object("ConfigMap", release::NAME, ca)),
        (false, object("ConfigMap", release::NAME, check)),
        (false, object("ConfigMap", "default", ca)),
        (true, secret(tls, release::NAME, ca)),
        (true, secret(tls, release::NAME, check)),
        (false, secret(tls, release::NAME, "other")),
        (false, secret(tls, "default", ca)),
        // The API server would store a token of another account in this Secret.
        (false, secret(token, release::NAME, ca)),
        (false, secret(token, release::NAME, check)),
    ]
}

/// Checks that the account cannot approve a request for the API server's own signer. Otherwise it could become a user
/// of any name.
async fn other_signers_are_not_its_own(cluster: &TestCluster, account: &str) -> Result<()> {
    let request = certificate_request("other-signer", "kubernetes.io/kube-apiserver-client", "client auth")?;
    try_to(cluster, &["create"], &request).await?;
    let approve = ["certificate", "approve", "other-signer", account];
    let refusal = run(cluster.kubectl().args(approve)).await.err().context("should be refused")?.to_string();
    ensure!(refusal.contains(REFUSAL), "{refusal}");
    Ok(())
}

/// Runs kubectl with a manifest.
async fn try_to(cluster: &TestCluster, arguments: &[&str], manifest: &Value) -> Result<String> {
    let file = cluster.folder().join("attempt.json");
    std::fs::write(&file, manifest.to_string())?;
    run(cluster.kubectl().args(arguments).arg("--filename").arg(&file)).await
}
