//! The chart's values: what is refused is named, by Helm 3 and by Helm 4, and the rest renders objects that the API
//! server accepts.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result, ensure};
use cluster::run;
use serde_json::{Value, json};

use support::{
    Outcome, TestCluster, outcome,
    release::{self, CHART},
    shared_cluster,
};

/// A namespace whose name YAML would read as a number.
const DIGITS: &str = "123";

/// The oldest version of Kubernetes that the chart supports.
const KUBERNETES: &str = "1.30.0";

/// What one Helm does with values.
struct Rendered {
    helm: &'static str,
    outcome: Outcome,
}

/// Renders a chart with values in JSON, by Helm 4 and by Helm 3.
async fn render(cluster: &TestCluster, chart: &Path, release: [&str; 2], values: &Value) -> Result<[Rendered; 2]> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let file = cluster.folder().join(format!("values-{}.json", NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::write(&file, values.to_string())?;
    let [name, namespace] = release;
    let render = async |helm, mut command: tokio::process::Command| {
        command.args(["template", name]).arg(chart).args(["--namespace", namespace]);
        command.args(["--kube-version", KUBERNETES, "--values"]).arg(&file);
        Ok::<_, anyhow::Error>(Rendered { helm, outcome: outcome(&mut command).await? })
    };
    let (four, three) = tokio::try_join!(render("Helm 4", cluster.helm()), render("Helm 3", cluster.helm3()))?;
    Ok([four, three])
}

/// The objects of a manifest.
fn objects(manifest: &str) -> Result<Vec<Value>> {
    let documents = manifest.split("\n---\n").map(|document| serde_yaml::from_str(document).context("not YAML"));
    documents.filter(|document| !matches!(document, Ok(Value::Null))).collect()
}

/// Whether standard error names a value, such as `image.tag`: in that form, or as `/image/tag`.
fn names(stderr: &str, path: &str) -> bool {
    stderr.contains(path) || stderr.contains(&format!("'/{}", path.replace('.', "/")))
}

#[tokio::test]
async fn a_refusal_names_the_value_on_standard_error() -> Result<()> {
    let cluster = shared_cluster().await?;
    let user = json!({"kind": "User", "name": "x"});
    let existing = |values: Value| json!({"certificates": {"existingSecret": "x"}, "more": values});
    for (values, named) in [
        (json!({"certificates": {"mode": "existingSecret"}}), "certificates.existingSecret"),
        (json!({"replicaCout": 2}), "replicaCout"),
        (json!({"maxReplicas": -1}), "maxReplicas"),
        (json!({"image": {"digest": "latest"}}), "image.digest"),
        (json!({"ownership": "take"}), "ownership"),
        (json!({"logFormat": "xml"}), "logFormat"),
        (json!({"logLevel": "verbose"}), "logLevel"),
        (json!({"logLevel": "info,kube"}), "logLevel"),
        (json!({"fence": {"enabled": "maybe"}}), "fence.enabled"),
        (json!({"pdb": {"minAvailable": "half"}}), "pdb.minAvailable"),
        (json!({"targets": [{"apiGroup": "*", "resource": "pods"}]}), "targets.0.apiGroup"),
        (json!({"networkPolicy": {"from": "x"}}), "networkPolicy"),
        (json!({"prometheusRule": {"runbookUrl": ""}}), "prometheusRule.runbookUrl"),
        (json!({"commonLabels": {"app.kubernetes.io/name": "x"}}), "commonLabels"),
        (json!({"commonLabels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}}), "commonLabels"),
        (json!({"commonLabels": {"team": "not a value"}}), "commonLabels.team"),
        (json!({"podLabels": {"replica-count-manager.io/x": "x"}}), "podLabels"),
        (json!({"podAnnotations": {"helm.sh/hook": "test"}}), "podAnnotations"),
        (json!({"extraEnv": [{"name": "LOG_LEVEL", "value": "debug"}]}), "extraEnv"),
        (json!({"extraEnv": [{"name": "X"}, {"name": "X"}]}), "extraEnv"),
        (json!({"extraVolumes": [{"name": "clients", "emptyDir": {}}]}), "extraVolumes"),
        (json!({"extraVolumeMounts": [{"name": "x", "mountPath": "/x"}]}), "extraVolumeMounts"),
        (json!({"certificates": {"dnsNames": ["a,b"]}}), "certificates.dnsNames"),
        (json!({"certificates": {"mode": "managed", "existingSecret": "x"}}), "certificates.existingSecret"),
        (json!({"certificates": {"mode": "certManager", "existingSecret": "x"}}), "certificates.existingSecret"),
        (json!({"certificates": {"keys": "server"}}), "certificates.keys"),
        (json!({"certificates": {"existingSecret": "x", "dnsNames": ["x"]}}), "certificates.dnsNames"),
        (json!({"certificates": {"issuerRef": {"name": "x"}}}), "certificates.issuerRef"),
        (json!({"certificates": {"clients": {"caSecret": "x"}}}), "certificates.clients.caSecret"),
        (json!({"certificates": {"clients": {"reservedNames": ["x"]}}}), "certificates.clients.reservedNames"),
        (json!({"certificates": {"clients": {"notBefore": "2999-01-01T00:00:00Z"}}}), "certificates.clients.notBefore"),
        (json!({"access": {"login": [user]}, "namespace": "shop"}), "access.login"),
        (json!({"access": {"login": [user]}, "certificates": {"existingSecret": "x"}}), "access.login"),
        (json!({"access": {"admins": [{"kind": "ServiceAccount", "name": "x"}]}}), "access.admins"),
        (json!({"serviceAccount": {"create": false, "annotations": {"a": "b"}}}), "serviceAccount.annotations"),
        (json!({"fullnameOverride": "1x"}), "fullnameOverride"),
        (json!({"enabled": false}), "enabled"),
        (existing(json!({})), "more"),
    ] {
        for Rendered { helm, outcome } in render(cluster, CHART.as_ref(), ["other", release::NAME], &values).await? {
            ensure!(outcome.code != Some(0), "{helm} accepts {values}");
            ensure!(names(&outcome.stderr, named), "{helm} does not name {named}: {}", outcome.stderr);
        }
    }
    let [four, three] = render(cluster, CHART.as_ref(), [DIGITS, release::NAME], &json!({})).await?;
    for Rendered { helm, outcome } in [four, three] {
        ensure!(names(&outcome.stderr, "fullnameOverride"), "{helm}: {}", outcome.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn a_parent_chart_switches_the_chart_and_gives_it_registry_and_secrets() -> Result<()> {
    let cluster = shared_cluster().await?;
    let parent = cluster.folder().join("parent");
    fs::create_dir_all(parent.join("charts"))?;
    run(tokio::process::Command::new("cp").args(["--recursive", CHART]).arg(parent.join("charts"))).await?;
    let dependency = json!({"name": release::NAME, "version": env!("CARGO_PKG_VERSION"), "condition": "counts.enabled",
                            "alias": "counts"});
    let chart = json!({"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]});
    fs::write(parent.join("Chart.yaml"), chart.to_string())?;
    let global = json!({"imageRegistry": "mirror.example:5000/", "imagePullSecrets": ["a", {"name": "b"}], "other": 1});
    for (is_enabled, expected) in [(true, 1), (false, 0)] {
        let values = json!({"global": global, "counts": {"enabled": is_enabled, "imagePullSecrets": [{"name": "b"}],
                            "image": {"repository": "ghcr.io/x/server", "tag": "t"}}});
        for Rendered { helm, outcome } in render(cluster, &parent, ["other", release::NAME], &values).await? {
            ensure!(outcome.code == Some(0), "{helm}: {}", outcome.stderr);
            let all = objects(&outcome.stdout)?;
            let pods: Vec<_> = all.iter().filter(|object| object["kind"] == "Deployment").collect();
            assert_eq!(pods.len(), expected, "{helm}");
            for pod in pods.iter().map(|deployment| &deployment["spec"]["template"]["spec"]) {
                assert_eq!(pod["containers"][0]["image"], "mirror.example:5000/x/server:t", "{helm}");
                assert_eq!(pod["imagePullSecrets"], json!([{"name": "a"}, {"name": "b"}]), "{helm}");
            }
        }
    }
    Ok(())
}

/// The path of a value, and what it can be. The last one is odd: it may be refused.
type Choice = (&'static str, Vec<Value>);

fn choices_of_names_and_certificates() -> Vec<Choice> {
    vec![
        ("replicaCount", vec![json!(1), json!(1_000_000), json!("1")]),
        ("image.tag", vec![json!("123"), json!("1.0"), json!(1.0)]),
        ("image.pullPolicy", vec![json!("Always"), json!("Sometimes")]),
        ("imagePullSecrets", vec![json!([{"name": "123"}]), json!(["x"])]),
        (
            "global",
            vec![json!({"imagePullSecrets": ["123"], "imageRegistry": "r.example"}), json!({"imageRegistry": 1})],
        ),
        ("nameOverride", vec![json!("123"), json!("true"), json!("X")]),
        ("fullnameOverride", vec![json!("null"), json!("x1e3"), json!("a".repeat(63)), json!("123")]),
        (
            "commonLabels",
            vec![json!({"team": "123"}), json!({"a/b": "true"}), json!({"app.kubernetes.io/part-of": "x"})],
        ),
        ("podLabels", vec![json!({"team": "1e3"}), json!({"a": "b "})]),
        ("podAnnotations", vec![json!({"a": "123", "kubectl.kubernetes.io/default-container": "x"}), json!({"a": 1})]),
        ("certificates.mode", vec![json!("managed"), json!("certManager"), json!("existingSecret"), json!("none")]),
        ("certificates.existingSecret", vec![json!("123"), json!("A")]),
        ("certificates.keys", vec![json!("server"), json!("x")]),
        ("certificates.dnsNames", vec![json!(["*.example.com", "10.0.0.1"]), json!(["a b"])]),
        ("certificates.issuerRef", vec![json!({"kind": "ClusterIssuer", "name": "123"}), json!({"names": "x"})]),
        ("certificates.clients.enabled", vec![json!(false), json!("no")]),
        ("certificates.clients.autoApprove", vec![json!(false), json!(1)]),
        ("certificates.clients.maxHours", vec![json!(8760), json!(0)]),
        ("certificates.clients.notBefore", vec![json!("2026-01-01T00:00:00Z"), json!("yesterday")]),
        ("certificates.clients.caSecret", vec![json!("123"), json!("A")]),
        ("certificates.clients.reservedNames", vec![json!(["system:x"]), json!(["a,b"])]),
    ]
}

fn other_choices() -> Vec<Choice> {
    let subject = json!([{"kind": "ServiceAccount", "name": "123", "namespace": "123"}]);
    let peer = json!([{"podSelector": {"matchLabels": {"app": "123"}}}]);
    vec![
        ("crds.enabled", vec![json!(false), json!(0)]),
        ("namespace", vec![json!(DIGITS), json!("a.b")]),
        ("targets", vec![json!([{"apiGroup": "123.example", "resource": "456"}]), json!([{"apiGroup": "x"}])]),
        ("ownership", vec![json!("keep"), json!("drop")]),
        ("fence.enabled", vec![json!(true), json!(false), json!("x")]),
        ("maxReplicas", vec![json!(0), json!(2_000_000_000), json!(-1)]),
        ("logLevel", vec![json!("warn"), json!("info,kube=debug"), json!("quiet")]),
        ("logFormat", vec![json!("json"), json!("xml")]),
        ("service.type", vec![json!("NodePort"), json!("LoadBalancer"), json!("ExternalName")]),
        ("service.grpc.port", vec![json!(443), json!(70_000)]),
        ("serviceAccount.create", vec![json!(false), json!("x")]),
        ("serviceAccount.name", vec![json!("123"), json!("A")]),
        ("serviceAccount.annotations", vec![json!({"a": "true"}), json!({"a": true})]),
        ("rbac.create", vec![json!(false), json!("x")]),
        ("access.roles.create", vec![json!(false), json!("x")]),
        ("access.viewers", vec![subject.clone(), json!([{"kind": "Robot", "name": "x"}])]),
        ("access.admins", vec![json!([]), subject.clone(), json!([{"kind": "User"}])]),
        ("access.connect", vec![subject.clone(), json!([1])]),
        ("access.login", vec![subject, json!("x")]),
        ("resources", vec![json!({"limits": {"cpu": 1}}), json!([])]),
        ("flowSchema.enabled", vec![json!(true), json!("x")]),
        ("flowSchema.concurrencyShares", vec![json!(1000), json!(-1)]),
        ("pdb.enabled", vec![json!(false), json!("x")]),
        ("pdb.minAvailable", vec![json!(1), json!("50%"), json!("half")]),
        ("terminationGracePeriodSeconds", vec![json!(1_000_000), json!(-1)]),
        ("priorityClassName", vec![json!("system-cluster-critical"), json!("A")]),
        ("nodeSelector", vec![json!({"a": "123"}), json!({"a": 1})]),
        ("tolerations", vec![json!([{"operator": "Exists"}]), json!({})]),
        ("extraEnv", vec![json!([{"name": "X", "value": "123"}]), json!([{"name": "MAX_REPLICAS", "value": "1"}])]),
        ("extraVolumes", vec![json!([{"name": "123", "emptyDir": {}}]), json!([{"name": "tls", "emptyDir": {}}])]),
        ("dashboard.enabled", vec![json!(true), json!("x")]),
        ("networkPolicy", vec![json!({"enabled": true, "grpcFrom": peer, "metricsFrom": peer}), json!({"from": []})]),
        ("tests.certificateSecret", vec![json!("123"), json!("A")]),
        ("extraObjects", vec![json!([]), json!([1])]),
        ("enabled", vec![json!(true), json!(false)]),
    ]
}

/// A combination of values, with the paths of those that are set. One in four has an odd one.
fn combination(seed: u64) -> (Value, Vec<&'static str>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut all = [choices_of_names_and_certificates(), other_choices()].concat();
    random.shuffle(&mut all);
    let (mut values, mut set) = (json!({}), Vec::new());
    let is_odd = random.u8(..4) == 0;
    let number = random.usize(3..12);
    for (index, (path, mut options)) in all.into_iter().take(number).enumerate() {
        let odd = options.pop().unwrap_or_default();
        let value = if is_odd && index == 0 { odd } else { options.swap_remove(random.usize(..options.len())) };
        let place = path.split('.').fold(&mut values, |place, name| &mut place[name]);
        *place = value;
        set.push(path);
    }
    (values, set)
}

/// Whether Helm renders a combination. Fails unless a refusal names one of its values, or unless the API server accepts
/// what is rendered.
async fn is_rendered(cluster: &TestCluster, seed: u64) -> Result<bool> {
    let (values, set) = combination(seed);
    let name = if set.contains(&"fullnameOverride") { DIGITS } else { "other" };
    let release = [name, if seed.is_multiple_of(2) { release::NAME } else { DIGITS }];
    let [four, three] = render(cluster, CHART.as_ref(), release, &values).await?;
    let codes = [&four, &three].map(|rendered| rendered.outcome.code);
    ensure!(codes[0] == codes[1], "Helm 4 and Helm 3 differ: {codes:?}");
    if codes[0] != Some(0) {
        for Rendered { helm, outcome } in [four, three] {
            let is_named = set.iter().chain(&["fullnameOverride"]).any(|path| names(&outcome.stderr, path));
            ensure!(is_named, "{helm} names none of {set:?}: {}", outcome.stderr);
        }
        return Ok(false);
    }
    let (mut rendered, other) = (objects(&four.outcome.stdout)?, objects(&three.outcome.stdout)?);
    ensure!(rendered == other, "Helm 4 and Helm 3 render other objects");
    // The cluster lacks the CRDs of cert-manager.
    rendered.retain(|object| object["apiVersion"] != "cert-manager.io/v1");
    let manifest = cluster.folder().join(format!("combination-{seed}.json"));
    fs::write(&manifest, json!({"apiVersion": "v1", "kind": "List", "items": rendered}).to_string())?;
    let mut kubectl = cluster.kubectl();
    kubectl.args(["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--warnings-as-errors"]);
    run(kubectl.arg("--filename").arg(&manifest)).await?;
    Ok(true)
}

async fn try_combinations(seeds: std::ops::Range<u64>) -> Result<()> {
    let cluster = shared_cluster().await?;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": DIGITS}});
    let manifest = cluster.folder().join("digits.json");
    fs::write(&manifest, namespace.to_string())?;
    run(cluster.kubectl().args(["apply", "--server-side", "--filename"]).arg(&manifest)).await?;
    let (mut rendered, mut refused) = (0, 0);
    for seed in seeds {
        match is_rendered(cluster, seed).await.with_context(|| format!("seed {seed}: {}", combination(seed).0))? {
            true => rendered += 1,
            false => refused += 1,
        }
    }
    println!("{rendered} combinations were rendered and accepted, {refused} were refused by name");
    ensure!(rendered > 0 && refused > 0, "{rendered} rendered, {refused} refused");
    Ok(())
}

#[tokio::test]
async fn a_few_combinations_of_values_are_accepted_by_the_api_server_or_refused_by_name() -> Result<()> {
    try_combinations(0..6).await
}

#[ignore = "it takes minutes: make stress"]
#[tokio::test]
async fn many_combinations_of_values_are_accepted_by_the_api_server_or_refused_by_name() -> Result<()> {
    try_combinations(6..126).await
}
