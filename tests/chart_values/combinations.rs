//! Combinations of all values: Helm names what it refuses, and the API server accepts all the rest. `VALUES_SEED` repeats
//! them.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
};

use anyhow::{Context, Result, ensure};
use cluster::{run, wait};
use fastrand::Rng;
use serde_json::{Value, json};

use super::{
    DIGITS, Rendered,
    choices::{Choice, choices},
    names, objects, render,
};
use support::{
    PATIENCE, TestCluster,
    release::{self, CHART},
    shared_cluster,
};

/// The most values of a combination.
const MOST: usize = 25;

/// Values by their paths.
type Values = BTreeMap<&'static str, Value>;

/// The values as a document.
fn document(values: &Values) -> Value {
    let mut document = json!({});
    for (path, value) in values {
        *path.split('.').fold(&mut document, |place, name| &mut place[name]) = value.clone();
    }
    document
}

/// The objects of the chart with some of the values.
struct Rest {
    objects: Vec<Value>,
    /// Which of the values Helm has refused.
    refused: BTreeSet<&'static str>,
}

/// Renders values by both Helms. Leaves out what they refuse and name, until they render the rest. Only values of
/// `invalid` may be refused by the schema. All others may contradict each other.
async fn render_rest(
    cluster: &TestCluster,
    release: [&str; 2],
    mut values: Values,
    invalid: &BTreeSet<&str>,
) -> Result<Rest> {
    let mut refused = BTreeSet::new();
    loop {
        let both = render(cluster, CHART.as_ref(), release, &document(&values)).await?;
        let [four, three] = both.each_ref().map(|rendered| rendered.outcome.code == Some(0));
        ensure!(four == three, "Helm 4 accepts what Helm 3 refuses, or the other way round");
        if four {
            let [four, three] = both.map(|rendered| objects(&rendered.outcome.stdout));
            let (mut objects, mut three) = (four?, three?);
            // They install webhook configurations at different times.
            objects.sort_by_cached_key(Value::to_string);
            three.sort_by_cached_key(Value::to_string);
            ensure!(objects == three, "Helm 4 and Helm 3 render other objects");
            return Ok(Rest { objects, refused });
        }
        let [named, other] = both.each_ref().map(|rendered| named(rendered, &values));
        let said = &both[0].outcome.stderr;
        ensure!(named == other, "Helm 4 names {named:?}, and Helm 3 names {other:?}: {said}");
        ensure!(!named.is_empty(), "none of {values:?} is named: {said}");
        let is_schema = said.contains("the schema");
        ensure!(!is_schema || named.iter().all(|path| invalid.contains(path)), "the schema refuses {named:?}: {said}");
        values.retain(|path, _| !named.contains(path));
        refused.extend(named);
    }
}

/// The values that a refusal is about. If it is about another one that is missing, those are meant that it mentions.
fn named(rendered: &Rendered, values: &Values) -> BTreeSet<&'static str> {
    let stderr = &rendered.outcome.stderr;
    let about: BTreeSet<_> = values.keys().copied().filter(|path| names(stderr, path)).collect();
    if !about.is_empty() {
        return about;
    }
    values.keys().copied().filter(|path| path.contains('.') && stderr.contains(path)).collect()
}

/// Has the API server check the objects. The cluster lacks the CRDs of cert-manager and of the Prometheus Operator.
async fn check(cluster: &TestCluster, name: &str, mut objects: Vec<Value>) -> Result<()> {
    objects.retain(|object| {
        let group = object["apiVersion"].as_str().unwrap_or_default();
        !["cert-manager.io/v1", "monitoring.coreos.com/v1"].contains(&group)
    });
    let manifest = cluster.folder().join(format!("{name}.json"));
    fs::write(&manifest, json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string())?;
    let mut kubectl = cluster.kubectl();
    kubectl.args(["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--warnings-as-errors"]);
    run(kubectl.arg("--filename").arg(&manifest)).await.map(drop)
}

/// Creates the namespace of digits.
async fn cluster_with_digits() -> Result<&'static TestCluster> {
    let cluster = shared_cluster().await?;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": DIGITS}});
    let manifest = cluster.folder().join("digits.json");
    fs::write(&manifest, namespace.to_string())?;
    run(cluster.kubectl().args(["apply", "--server-side", "--filename"]).arg(&manifest)).await?;
    // The API server refuses pods until there is one.
    wait::until("the namespace's service account", PATIENCE, async || {
        run(cluster.kubectl().args(["get", "serviceaccount", "default", "--namespace", DIGITS])).await
    })
    .await?;
    Ok(cluster)
}

/// A combination with a valid value of this path, and an invalid one in every fourth.
fn combination(choices: &[Choice], first: (&'static str, Value), random: &mut Rng) -> (Values, BTreeSet<&'static str>) {
    let mut values = Values::new();
    for _ in 0..random.usize(3..MOST) {
        let Choice { path, valid, .. } = &choices[random.usize(..choices.len())];
        values.insert(path, valid[random.usize(..valid.len())].clone());
    }
    let mut odd = BTreeSet::new();
    if random.u8(..4) == 0 {
        let Choice { path, invalid, .. } = &choices[random.usize(..choices.len())];
        if *path != first.0 {
            values.insert(path, invalid[random.usize(..invalid.len())].clone());
            odd.insert(*path);
        }
    }
    values.insert(first.0, first.1);
    (values, odd)
}

/// Tries a combination, and returns which of its values were refused.
async fn try_combination(
    cluster: &TestCluster,
    number: usize,
    values: Values,
    invalid: &BTreeSet<&'static str>,
) -> Result<BTreeSet<&'static str>> {
    // A Service's name cannot begin with a digit.
    let name =
        if values.contains_key("fullnameOverride") && !invalid.contains("fullnameOverride") { DIGITS } else { "other" };
    let release = [name, if number.is_multiple_of(2) { release::NAME } else { DIGITS }];
    let Rest { objects, refused } = render_rest(cluster, release, values, invalid).await?;
    ensure!(invalid.is_subset(&refused), "{invalid:?} is not refused");
    check(cluster, &format!("combination-{number}"), objects).await?;
    Ok(refused)
}

/// Tries combinations that begin with each of the valid values, or with some of them.
async fn try_combinations(some: Option<usize>) -> Result<()> {
    let seed = env::var("VALUES_SEED").ok().map_or(Ok(fastrand::u64(..)), |seed| seed.parse());
    let seed = seed.context("VALUES_SEED is no number")?;
    println!("VALUES_SEED={seed}");
    let (cluster, choices, mut random) = (cluster_with_digits().await?, choices(), Rng::with_seed(seed));
    let each = choices.iter().flat_map(|choice| choice.valid.iter().map(|value| (choice.path, value.clone())));
    let mut firsts: Vec<_> = each.collect();
    random.shuffle(&mut firsts);
    firsts.truncate(some.unwrap_or(firsts.len()));
    let number_of_all = firsts.len();
    let (mut number_of_invalid, mut number_of_refused) = (0, 0);
    for (number, first) in firsts.into_iter().enumerate() {
        let (values, invalid) = combination(&choices, first, &mut random);
        let what = format!("combination {number} of the seed {seed}, {}", document(&values));
        let refused = try_combination(cluster, number, values, &invalid).await.context(what)?;
        number_of_invalid += usize::from(!invalid.is_empty());
        number_of_refused += usize::from(!refused.is_empty());
    }
    println!(
        "{number_of_all} combinations, {number_of_refused} with refusals, {number_of_invalid} with invalid values"
    );
    Ok(())
}

#[tokio::test]
async fn a_few_combinations_of_values_are_accepted_by_the_api_server_or_refused_by_name() -> Result<()> {
    try_combinations(Some(6)).await
}

#[ignore = "it takes minutes: make stress"]
#[tokio::test]
async fn combinations_with_each_value_are_accepted_by_the_api_server_or_refused_by_name() -> Result<()> {
    try_combinations(None).await
}

#[tokio::test]
async fn every_invalid_value_is_named_beside_all_the_others() -> Result<()> {
    let (cluster, choices) = (shared_cluster().await?, choices());
    let rounds = choices.iter().map(|choice| choice.invalid.len()).max().unwrap_or_default();
    for round in 0..rounds {
        let invalid = choices.iter().filter_map(|choice| Some((choice.path, choice.invalid.get(round)?.clone())));
        let values: Values = invalid.collect();
        for rendered in render(cluster, CHART.as_ref(), ["other", release::NAME], &document(&values)).await? {
            let Rendered { helm, outcome } = &rendered;
            ensure!(outcome.code != Some(0), "{helm} accepts {values:?}");
            let forgotten: Vec<_> = values.iter().filter(|(path, _)| !names(&outcome.stderr, path)).collect();
            ensure!(forgotten.is_empty(), "{helm} does not name {forgotten:?}: {}", outcome.stderr);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_value_without_content_is_accepted_or_refused_by_name() -> Result<()> {
    let (cluster, choices) = (cluster_with_digits().await?, choices());
    let nothing: Values = choices.iter().map(|choice| (choice.path, Value::Null)).collect();
    let paths: BTreeSet<_> = nothing.keys().copied().collect();
    let sections: BTreeSet<_> = paths.iter().filter_map(|path| Some(path.rsplit_once('.')?.0)).collect();
    for (number, depth) in [0, 1].into_iter().enumerate() {
        let of_depth = sections.iter().copied().filter(|section| section.matches('.').count() == depth);
        let sections: Values = of_depth.map(|section| (section, Value::Null)).collect();
        let all = sections.keys().copied().collect();
        let rest = render_rest(cluster, ["other", release::NAME], sections, &all).await?;
        check(cluster, &format!("no-section-{number}"), rest.objects).await?;
    }
    let rest = render_rest(cluster, ["other", release::NAME], nothing, &paths).await?;
    for needed in ["replicaCount", "maxReplicas", "terminationGracePeriodSeconds", "rbac.create", "logLevel"] {
        ensure!(rest.refused.contains(needed), "{needed} may be left without content");
    }
    check(cluster, "nothing", rest.objects).await
}

#[ignore = "it takes a while: make stress"]
#[tokio::test]
async fn what_only_the_api_server_refuses_is_named_by_its_field() -> Result<()> {
    let cluster = shared_cluster().await?;
    let spread = json!({"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"});
    for (path, value, field) in [
        ("resources", json!({"limits": {"memory": "1Mi"}}), "resources.requests"),
        ("livenessProbe", json!({"httpGet": {"port": "a b"}}), "livenessProbe.httpGet.port"),
        ("securityContext", json!({"privileged": true}), "securityContext"),
        ("podSecurityContext", json!({"seccompProfile": {"type": "X"}}), "securityContext.seccompProfile"),
        ("affinity", json!({"nodeAffinity": {"x": 1}}), "affinity.nodeAffinity"),
        ("topologySpreadConstraints", json!([spread, spread]), "topologySpreadConstraints"),
        ("tolerations", json!([{"operator": "Exists", "value": "x"}]), "tolerations[0]"),
        ("extraEnv", json!([{"name": "X", "valueFrom": {}}]), "env["),
        ("extraVolumes", json!([{"name": "x", "nothing": {}}]), "volumes[1]"),
    ] {
        let values = Values::from([(path, value)]);
        let rest = render_rest(cluster, ["other", release::NAME], values, &BTreeSet::new()).await?;
        ensure!(rest.refused.is_empty(), "Helm refuses {path}");
        let refusal = check(cluster, "refused", rest.objects).await.err();
        let refusal = refusal.with_context(|| format!("{path} is accepted"))?.to_string();
        ensure!(refusal.contains(field), "{path} is not named: {refusal}");
    }
    Ok(())
}

#[test]
fn every_value_is_tried() -> Result<()> {
    let schema: Value = serde_json::from_str(&fs::read_to_string(format!("{CHART}/values.schema.json"))?)?;
    let (tried, mut all) = (choices().iter().map(|choice| choice.path.to_owned()).collect(), BTreeSet::new());
    add_paths(&schema, "", &tried, &mut all);
    assert_eq!(tried, all);
    Ok(())
}

/// Adds the paths of the values that a schema has, but not of their sections, unless those are tried as a whole.
fn add_paths(schema: &Value, path: &str, tried: &BTreeSet<String>, all: &mut BTreeSet<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if property.get("properties").is_some() && !tried.contains(&path) {
            add_paths(property, &path, tried, all);
        } else {
            all.insert(path);
        }
    }
}
