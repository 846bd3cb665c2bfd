//! The manifests and values of `examples/`: the API server accepts each of them, and the page lists them.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use cluster::run;
use serde_json::{Value, json};

use support::{
    Namespace, ROOT,
    release::{CHART, NAME},
};

/// The names and texts of the examples, with the namespace of this test in place of the one in them.
fn examples(namespace: &str) -> Result<Vec<(String, String)>> {
    let mut examples = Vec::new();
    for entry in fs::read_dir(format!("{ROOT}/examples"))? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("a name that is not UTF-8")?;
        if name != "README.md" {
            let text = fs::read_to_string(entry.path())?;
            examples.push((name, text.replace("namespace: shop", &format!("namespace: {namespace}"))));
        }
    }
    Ok(examples)
}

/// Has the API server check a file with manifests.
async fn check(shop: &Namespace<'_>, manifest: &Path) -> Result<()> {
    let mut kubectl = shop.cluster.kubectl();
    kubectl.args(["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--warnings-as-errors"]);
    run(kubectl.arg("--filename").arg(manifest)).await.map(drop)
}

/// Renders the chart with values, without the objects of the Prometheus Operator, whose CRDs the cluster lacks.
async fn render(shop: &Namespace<'_>, values: &Path, namespace: &str) -> Result<Value> {
    let mut helm = shop.cluster.helm();
    helm.args(["template", "other", CHART, "--namespace", namespace, "--values"]).arg(values);
    let manifest = run(&mut helm).await?;
    let documents = manifest.split("\n---\n").map(|document| serde_yaml::from_str(document).context("not YAML"));
    let mut objects: Vec<Value> = documents.collect::<Result<_>>()?;
    objects.retain(|object| object.is_object() && object["apiVersion"] != "monitoring.coreos.com/v1");
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": objects}))
}

#[tokio::test]
async fn the_api_server_accepts_every_example() -> Result<()> {
    let shop = Namespace::shared("examples").await?;
    // With a warning, a check fails: the pods of the examples must meet the restricted Pod Security Standard.
    let label = ["label", "namespace", shop.name.as_str(), "pod-security.kubernetes.io/warn=restricted"];
    run(shop.cluster.kubectl().args(label)).await?;
    let examples = examples(&shop.name)?;
    ensure!(examples.len() > 5, "{examples:?}");
    let folder = shop.cluster.folder().join("examples");
    fs::create_dir(&folder)?;
    for (name, text) in examples {
        let file = folder.join(&name);
        fs::write(&file, text)?;
        let manifest = match name.strip_prefix("values-") {
            None => file,
            Some(rest) => {
                let namespace = if rest == "one-namespace.yaml" { shop.name.as_str() } else { NAME };
                let manifest = folder.join(format!("rendered-{name}.json"));
                fs::write(&manifest, render(&shop, &file, namespace).await?.to_string())?;
                manifest
            }
        };
        check(&shop, &manifest).await.with_context(|| name)?;
    }
    Ok(())
}

#[test]
fn the_page_lists_every_example() -> Result<()> {
    let page = fs::read_to_string(format!("{ROOT}/examples/README.md"))?;
    for (name, _) in examples("shop")? {
        ensure!(page.contains(&format!("| [{name}]({name}) |")), "examples/README.md does not list {name}");
    }
    Ok(())
}
