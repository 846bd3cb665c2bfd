//! `-o` of commands that write: what was stored or removed, for programs.

use anyhow::{Result, ensure};
use serde_json::Value;

use support::{Namespace, Outcome, outcome};

async fn plugin(shop: &Namespace<'_>, line: &str) -> Result<Outcome> {
    outcome(shop.cluster.plugin().args(line.split(' ')).args(["--namespace", &shop.name])).await
}

/// Runs the plugin, which must succeed and write nothing to stderr, and returns its standard output.
async fn done(shop: &Namespace<'_>, line: &str) -> Result<String> {
    let outcome = plugin(shop, line).await?;
    ensure!(outcome.code == Some(0) && outcome.stderr.is_empty(), "{line}: {outcome:?}");
    Ok(outcome.stdout)
}

#[tokio::test]
async fn a_write_prints_what_it_has_stored_in_a_format_for_programs() -> Result<()> {
    let shop = Namespace::shared("stored").await?;
    shop.deployment("web", 2).await?;
    shop.stateful_set("db", 1).await?;
    assert_eq!(done(&shop, "set web=3 sts/db=2 -o name --wait").await?, "deployment.apps/web\nstatefulset.apps/db\n");
    let one: Value = serde_json::from_str(&done(&shop, "set web 4 --reason sale -o json").await?)?;
    let part = (&one["kind"], &one["target"]["name"], &one["desired"], &one["reason"]);
    assert_eq!(part, (&"ReplicaCountView".into(), &"web".into(), &4.into(), &"sale".into()), "{one}");
    let stored = shop.get("replicacount/deployment.web").await?["spec"]["replicas"].clone();
    assert_eq!(stored, 4, "it is stored when it is printed");

    let partly = plugin(&shop, "set --replicas 5 web nosuch -o json").await?;
    let list: Value = serde_json::from_str(&partly.stdout)?;
    assert_eq!((partly.code, &list["kind"]), (Some(1), &"ReplicaCountViewList".into()), "{partly:?}");
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "only what was stored: {list}");

    let removed: Value = serde_yaml::from_str(&done(&shop, "unset web -o yaml").await?)?;
    assert_eq!((&removed["kind"], &removed["desired"]), (&"ReplicaCountView".into(), &5.into()));
    assert_eq!(done(&shop, "unset sts/db -o name --dry-run").await?, "statefulset.apps/db\n");
    assert_eq!(done(&shop, "list -o name").await?, "statefulset.apps/db\n", "it was a dry run");
    Ok(())
}
