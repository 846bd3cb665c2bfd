//! `kubectl replicas doctor`: what it finds, how it says that, and its exit codes.

use std::{fs, time::Instant};

use anyhow::{Context, Result, ensure};
use cluster::{ports, wait};
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Command};

use support::{
    Namespace, Outcome, PATIENCE, TestCluster, User, condition, manifests::ReplicaCountManifest, outcome,
    presented::TestCa, release, shared_cluster,
};

fn doctor(cluster: &TestCluster) -> Command {
    let mut plugin = cluster.plugin();
    plugin.env("LC_ALL", "C").arg("doctor");
    plugin
}

/// Checks the exit code and parts of the output.
fn check(outcome: &Outcome, code: i32, parts: &[&str]) -> Result<()> {
    ensure!(outcome.code == Some(code), "{outcome:?}");
    for part in parts {
        ensure!(outcome.stdout.contains(part), "{part:?} is missing in {}{}", outcome.stdout, outcome.stderr);
    }
    Ok(())
}

/// The status and the message of a check in a document.
fn found<'a>(checkup: &'a Value, name: &str) -> Result<(&'a str, &'a str)> {
    let checks = checkup["checks"].as_array().context("no checks")?;
    let check = checks.iter().find(|check| check["name"] == name).with_context(|| format!("no {name}"))?;
    Ok((check["status"].as_str().context("no status")?, check["message"].as_str().context("no message")?))
}

#[tokio::test]
async fn all_is_well() -> Result<()> {
    let cluster = shared_cluster().await?;
    let well = outcome(doctor(cluster).env("LC_ALL", "C.UTF-8")).await?;
    let lines = [
        "Configuration\n-------------\n✓ kubeconfig: the context ",
        "✓ certificate: that of admin from ",
        "\n\nAPI server\n----------\n✓ api-server: it answers, with the version v1.",
        "✓ api-user: it knows you as admin, of system:masters, ",
        "✓ service: replica-count-manager/replica-count-manager is there, found by its label\n",
        "✓ pods: 1 of 1 ready, with ",
        "✓ fence: the policy replica-count-manager-replica-count-manager-fence limits the server to counts\n",
        "✓ connection: a pod accepts it, through a port-forward, with TLS\n",
        "✓ server: it answers, and knows you as admin, of replica-count-manager:admins, ",
        "✓ scope: it serves all namespaces and counts up to 10000, and watches ",
        "✓ set: you may set a count in the namespace default\n",
        " managed in all namespaces\n",
        "\n\nAdmission\n---------\n✓ admission-webhooks: the mode is off, and no webhook of the server is in the way\n",
        "- admission-endpoint: skipped, since admission.mode is off\n",
        " passed, ",
        " 0 failed, ",
    ];
    check(&well, 0, &lines)?;
    assert_eq!(well.stderr, "");
    let plain = outcome(&mut doctor(cluster)).await?;
    check(&plain, 0, &["ok kubeconfig: the context ", "ok connection: "])?;
    ensure!(plain.stdout.is_ascii(), "{plain:?}");

    let json = outcome(doctor(cluster).args(["--output=json", "--wait"])).await?;
    check(&json, 0, &[])?;
    let checkup: Value = serde_json::from_str(&json.stdout)?;
    assert_eq!((&checkup["kind"], &checkup["passed"]), (&json!("Checkup"), &json!(true)));
    for name in ["crd", "leader", "version", "list", "get"] {
        assert_eq!(found(&checkup, name)?.0, "passed", "{checkup}");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_kubeconfig_or_an_api_server_the_rest_is_skipped() -> Result<()> {
    let cluster = shared_cluster().await?;
    let nowhere = outcome(doctor(cluster).env("KUBECONFIG", "/nowhere")).await?;
    let skipped = "-  connection: skipped, since there is no usable client certificate\n";
    check(&nowhere, 3, &["x  kubeconfig: there is no kubeconfig: looked for /nowhere\n    hint: name one", skipped])?;
    ensure!(nowhere.stderr.contains("1 of 25 checks failed"), "{nowhere:?}");

    let admin = fs::read_to_string(cluster.control_plane.kubeconfig())?;
    let at = async |name: &str, port: u16| {
        let mut config: Value = serde_json::from_str(&admin)?;
        config["clusters"][0]["cluster"]["server"] = format!("https://127.0.0.1:{port}").into();
        let path = cluster.folder().join(format!("doctor-{name}.kubeconfig"));
        fs::write(&path, config.to_string())?;
        outcome(doctor(cluster).env("KUBECONFIG", &path).arg("--request-timeout=1s")).await
    };
    let down = at("down", ports::free()?).await?;
    check(&down, 3, &["x  api-server: failed to get the version of the API server: the API server cannot be reached"])?;
    check(&down, 3, &["-  service: skipped, since the API server does not answer", "hint: check that `kubectl get"])?;
    // An API server that accepts connections and says nothing holds nothing up.
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let started = Instant::now();
    let hanging = at("silent", silent.local_addr()?.port()).await?;
    check(&hanging, 3, &["the API server gave no answer within 1s"])?;
    ensure!(started.elapsed() < PATIENCE, "it took {:?}", started.elapsed());

    // An address needs neither.
    let [ca, certificate, key] = cluster.client_files();
    let mut direct = doctor(cluster);
    direct.env("KUBECONFIG", "/nowhere").args(["--ca", &ca, "--cert", &certificate, "--key", &key]);
    let direct = outcome(direct.args(["--address", cluster.grpc_address()])).await?;
    let address = format!("ok connection: {} accepts it, with TLS\n", cluster.grpc_address());
    check(&direct, 0, &[&address, "-  service: skipped, since the server's address is given"])
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_found() -> Result<()> {
    let cluster = shared_cluster().await?;
    let files = TestCa::load(cluster.certificates())?.write_expired(&cluster.folder().join("doctor"))?;
    let old = outcome(doctor(cluster).arg("--cert").arg(&files[0]).arg("--key").arg(&files[1])).await?;
    check(
        &old,
        3,
        &[
            "x  certificate: the client certificate of alice expired at 2021-01-01",
            "    hint: run `kubectl replicas login`",
            "-  connection: skipped, since there is no usable client certificate\n",
        ],
    )?;

    let strangers = cluster.folder().join("doctor-strangers");
    release::make_certificates(&strangers).await?;
    let file = |name: &str| strangers.join(name);
    let mut foreign = doctor(cluster);
    foreign.arg("--cert").arg(file("client/client.crt")).arg("--key").arg(file("client/client.key"));
    check(&outcome(&mut foreign).await?, 3, &["ok certificate: ", "x  connection: ", "does not accept"])?;
    let mut distrust = doctor(cluster);
    distrust.arg("--ca").arg(file("ca/ca.crt"));
    check(&outcome(&mut distrust).await?, 3, &["x  connection: ", "is not signed by the configured CA"])
}

#[tokio::test]
async fn a_missing_service_and_a_pod_that_is_not_ready_are_found() -> Result<()> {
    let shop = Namespace::shared("doctor-pods").await?;
    let elsewhere = ["--service-namespace", &shop.name, "--service-name", "replicas"];
    let started = Instant::now();
    let missing = outcome(doctor(shop.cluster).args(elsewhere).arg("--wait=3s")).await?;
    let expected = format!("x  service: there is no Service replicas in the namespace {}\n", shop.name);
    check(&missing, 4, &[&expected, "-  pods: skipped, since the server's Service was not found\n"])?;
    ensure!(missing.stderr.contains("waiting for service\n"), "{missing:?}");
    ensure!(missing.stderr.contains("after 3s, 1 of 25 checks still fail"), "{missing:?}");
    ensure!(started.elapsed() < PATIENCE, "it took {:?}", started.elapsed());

    // One pod runs, and no node takes the other.
    let pod = |name: &str, selector: Value| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "replicas"}},
               "spec": {"nodeSelector": selector, "containers": [{"name": "main", "image": "example"}]}})
    };
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "replicas"},
                         "spec": {"selector": {"app": "replicas"}, "ports": [{"name": "grpc", "port": 8080}]}});
    let objects = [service, pod("runs", json!({})), pod("waits", json!({"no": "such-node"}))];
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    shop.kubectl_with(&["create", "--filename=-"], &list.to_string()).await?;
    shop.kubectl(&["wait", "--for=condition=Ready", "pod/runs", "--timeout=1m"]).await?;
    let checkup = wait::until("the endpoint", PATIENCE, async || {
        let json =
            outcome(doctor(shop.cluster).args(elsewhere).args(["--output=json", "--request-timeout=2s"])).await?;
        let checkup: Value = serde_json::from_str(&json.stdout)?;
        ensure!(found(&checkup, "pods")?.0 == "warning", "{json:?}");
        assert_eq!(json.code, Some(3), "such a pod answers nothing: {json:?}");
        Ok(checkup)
    })
    .await?;
    assert_eq!(found(&checkup, "pods")?.1, "1 of 2 ready, with 0 restarts: waits is Pending");
    assert_eq!(found(&checkup, "leader")?, ("failed", "several pods, but no Lease by which they elect a leader"));
    assert_eq!(found(&checkup, "fence")?.0, "warning");
    assert_eq!((found(&checkup, "connection")?.0, found(&checkup, "set")?.0), ("failed", "skipped"));
    Ok(())
}

#[tokio::test]
async fn missing_rights_and_counts_without_targets_are_found() -> Result<()> {
    let shop = Namespace::shared("doctor-rights").await?;
    let user = User::new(shop.cluster, "doctor-reader")?;
    user.grant_connect().await?;
    shop.cluster.certificate_of(&user.name).await?;
    let certificates = shop.cluster.certificates();
    let [ca, cert, key] = ["ca/ca.crt", "client-doctor-reader/client.crt", "client-doctor-reader/client.key"]
        .map(|file| certificates.join(file).display().to_string());
    let files = ["doctor", "--ca", &ca, "--cert", &cert, "--key", &key, "--namespace", &shop.name];
    let as_user = async || outcome(user.plugin(&files).env("LC_ALL", "C")).await;
    let nothing = as_user().await?;
    let list = "x  list: user \"doctor-reader\" cannot list ";
    check(&nothing, 1, &["ok connection: ", list, "x  get: ", "!  set: "])?;
    check(&nothing, 1, &["-  targets: skipped, since you may not list replica counts\n", "-  contested: skipped"])?;

    let ghost = ReplicaCountManifest::deployment("ghost").manifest();
    shop.kubectl_with(&["create", "--filename=-"], &ghost).await?;
    let is_lost = |count: &Value| condition(count, "TargetFound") == Some(("False", "NotFound"));
    shop.wait_for_replica_count("deployment.ghost", "no target", is_lost).await?;
    let bind = ["create", "rolebinding", "doctor-reader", "--clusterrole=view", "--user=doctor-reader"];
    shop.kubectl(&bind).await?;
    let seeing = wait::until("the right to view", PATIENCE, async || {
        let seeing = as_user().await?;
        ensure!(seeing.stdout.contains(" 0 failed, "), "{seeing:?}");
        Ok(seeing)
    })
    .await?;
    let name = format!("deployment.apps/ghost -n {}", shop.name);
    let lines = [
        &format!("ok targets: 1 managed in the namespace {}\n", shop.name),
        &format!("!  found: 1 not found: {name}\n    hint: `kubectl replicas explain deployment.apps/ghost -n "),
        "-  leader: skipped, since you may not get leases/replica-count-manager in the namespace ",
        "-  fence: skipped, since you may not list validatingadmissionpolicies\n",
        "!  set: user \"doctor-reader\" cannot create ",
        " 0 failed, ",
    ];
    check(&seeing, 0, &lines)
}
