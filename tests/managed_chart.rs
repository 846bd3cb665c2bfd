//! The chart with its default values: nothing is prepared, and users need no file.

use anyhow::{Context, Result, ensure};
use cluster::{Options, run, wait};
use replica_count_manager::proto::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use serde_json::{Value, json};
use tonic::Code;

use crate::support::{Certificate, Namespace, PATIENCE, World, connect, release};

/// What the tests of the chart need beside its default values: our kubelet runs the pods.
const RUN: &str = r"--set-string=podAnnotations.replica-count-manager\.io/run=true";

async fn install(world: &World) -> Result<()> {
    run(world.cluster.kubectl().args(["create", "namespace", release::NAME])).await?;
    let mut helm = world.cluster.helm();
    helm.args(["install", release::NAME, release::CHART, "--namespace", release::NAME, RUN, "--wait", "--timeout=2m"]);
    run(&mut helm).await.map(drop)
}

/// Asks for a certificate as this user does, with the user's own kubeconfig, and reads the CA that the Service names.
async fn log_in(world: &World, user: &str) -> Result<Certificate> {
    let kubeconfig = world.cluster.kubeconfig_for(user, None)?;
    let kubectl = || {
        let mut kubectl = world.cluster.kubectl();
        kubectl.env("KUBECONFIG", &kubeconfig);
        kubectl
    };
    let key = rcgen::KeyPair::generate()?;
    let request = rcgen::CertificateParams::new(Vec::new())?.serialize_request(&key)?.pem()?;
    let request = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": user},
        "spec": {"signerName": "replica-count-manager.io/client", "usages": ["digital signature", "client auth"],
                 "request": k8s_openapi::ByteString(request.into_bytes())},
    });
    let file = world.cluster.folder().join(format!("{user}.json"));
    std::fs::write(&file, request.to_string())?;
    run(kubectl().args(["create", "--filename"]).arg(&file)).await?;
    let certificate = wait::until("the certificate", PATIENCE, async || {
        let request: Value = serde_json::from_str(&run(kubectl().args(["get", "csr", user, "--output=json"])).await?)?;
        let certificate = request.pointer("/status/certificate").context("there is none yet")?;
        Ok(serde_json::from_value::<k8s_openapi::ByteString>(certificate.clone())?.0)
    })
    .await?;
    let get = |what: &'static str| ["get", what, release::NAME, "--namespace", release::NAME, "--output=json"];
    let service: Value = serde_json::from_str(&run(kubectl().args(get("service"))).await?)?;
    let map = service.pointer("/metadata/annotations/replica-count-manager.io~1ca-configmap").and_then(Value::as_str);
    let map = map.context("the Service names no ConfigMap")?;
    let get = ["get", "configmap", map, "--namespace", release::NAME, "--output=json"];
    let map: Value = serde_json::from_str(&run(kubectl().args(get)).await?)?;
    let ca = map["data"]["ca.crt"].as_str().context("no CA")?.as_bytes().to_vec();
    Ok(Certificate { ca, pair: Some((certificate, key.serialize_pem().into_bytes())) })
}

#[tokio::test]
async fn whoever_may_edit_and_log_in_sets_counts_without_a_file() -> Result<()> {
    let world = World::without_server(Options::default()).await?;
    install(&world).await?;
    let (shop, other) = (Namespace::new(&world, "shop").await?, Namespace::new(&world, "other").await?);
    let bind = async |namespace: &str, name: &str, role: &str| {
        let bind = ["create", "rolebinding", name, role, "--user=alice", "--namespace", namespace];
        run(world.cluster.kubectl().args(bind)).await
    };
    bind(&shop.name, "alice", "--clusterrole=edit").await?;
    bind(release::NAME, "alice", "--role=replica-count-manager-connect").await?;
    let login = ["create", "clusterrolebinding", "alice", "--clusterrole=replica-count-manager-login", "--user=alice"];
    run(world.cluster.kubectl().args(login)).await?;

    let certificate = log_in(&world, "alice").await?;
    let address = world.server().await?.process.address("grpc")?.to_string();
    let mut client = ReplicasServiceClient::new(connect(address, &certificate)?);
    let info = client.get_server_info(v1::GetServerInfoRequest {}).await?.into_inner();
    assert_eq!(info.user, "alice");
    for namespace in [&shop, &other] {
        namespace.deployment("web", 1).await?;
    }
    let set = |namespace: &Namespace<'_>| v1::SetReplicaCountRequest {
        target: Some(v1::Target { namespace: namespace.name.clone(), name: "web".into(), ..Default::default() }),
        replicas: Some(2),
        ..Default::default()
    };
    client.set_replica_count(set(&shop)).await?;
    shop.reaches("deployment/web", 2).await?;
    let refusal = client.set_replica_count(set(&other)).await.err().context("should be refused")?;
    assert_eq!(refusal.code(), Code::PermissionDenied, "{refusal}");
    assert!(refusal.message().contains("kubectl create rolebinding alice-"), "{refusal}");

    // The test of the chart has a certificate of its own, and an upgrade leaves the CA as it is.
    let ca =
        run(world.cluster.kubectl().args(["get", "secret", "--namespace", release::NAME, "--output=name"])).await?;
    ensure!(ca.contains("replica-count-manager-ca") && ca.contains("replica-count-manager-check"), "{ca}");
    run(world.cluster.helm().args(["test", release::NAME, "--namespace", release::NAME, "--timeout=1m"])).await?;
    let mut helm = world.cluster.helm();
    helm.args(["upgrade", release::NAME, release::CHART, "--namespace", release::NAME, RUN, "--set=maxReplicas=50"]);
    run(helm.args(["--wait", "--timeout=2m"])).await?;
    let address = world.server().await?.process.address("grpc")?.to_string();
    let mut client = ReplicasServiceClient::new(connect(address, &certificate)?);
    wait::until("the new server", PATIENCE, async || {
        let info = client.clone().get_server_info(v1::GetServerInfoRequest {}).await?.into_inner();
        ensure!(info.max_replicas == 50, "it is the old one");
        Ok(())
    })
    .await?;
    client.set_replica_count(set(&shop)).await?;
    only_its_own_secrets(&world).await
}

/// Checks that the server's account writes no Secret but those of its certificates.
async fn only_its_own_secrets(world: &World) -> Result<()> {
    let account = format!("--as=system:serviceaccount:{0}:{0}", release::NAME);
    let create = ["create", "secret", "generic", "other", "--namespace", release::NAME, &account];
    let refusal = run(world.cluster.kubectl().args(create)).await.err().context("should be refused")?.to_string();
    ensure!(refusal.contains("may change counts and who owns them"), "{refusal}");
    let read = ["get", "secret", "sh.helm.release.v1.replica-count-manager.v1", "--namespace", release::NAME, &account];
    let refusal = run(world.cluster.kubectl().args(read)).await.err().context("should be refused")?.to_string();
    ensure!(refusal.contains("cannot get resource"), "{refusal}");
    Ok(())
}
