//! `kubectl replicas blame`: which programs caused the most drifts.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use support::{Namespace, Outcome, manifests::Workload, outcome};

async fn plugin(shop: &Namespace<'_>, arguments: &[&str]) -> Result<Outcome> {
    outcome(shop.cluster.plugin().args(arguments).args(["--namespace", &shop.name])).await
}

/// Holds a Deployment at 3, and changes it as each of these programs.
async fn quarrel(shop: &Namespace<'_>, name: &str, programs: &[&str]) -> Result<()> {
    shop.create(&Workload::deployment(name).replicas(3).without_pods()).await?;
    shop.set(name, 3).await?;
    for (number, program) in (1..).zip(programs) {
        let program = format!("--field-manager={program}");
        let object = format!("deployment/{name}");
        shop.kubectl(&["patch", &object, &program, "--patch={\"spec\":{\"replicas\":7}}"]).await?;
        shop.wait_for_drifts(&format!("deployment.{name}"), number).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_programs_with_the_most_drifts_come_first() -> Result<()> {
    let (shop, bank) = (Namespace::shared("blame").await?, Namespace::shared("blame-other").await?);
    let empty = plugin(&shop, &["blame"]).await?;
    ensure!(empty.code == Some(0) && empty.stdout.is_empty() && empty.stderr.contains("No drifts found"), "{empty:?}");

    quarrel(&shop, "web", &["red", "red", "red", "green"]).await?;
    quarrel(&shop, "api", &["red"]).await?;
    // A target lists five programs, so one of these is forgotten.
    quarrel(&bank, "ledger", &["a", "b", "c", "d", "e", "f"]).await?;
    let contested = |count: &Value| count["status"]["conditions"].to_string().contains("red keeps changing the count");
    shop.wait_for_replica_count("deployment.web", "contested", contested).await?;

    let shown = plugin(&shop, &["blame"]).await?;
    let lines: Vec<_> = shown.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(
        lines[0],
        ["PROGRAM", "NAMESPACE", "DRIFTS", "TARGETS", "LAST", "LAST", "USER", "WHAT", "TO", "DO"],
        "{shown:?}"
    );
    assert_eq!(
        (&lines[1][..4], &lines[2][..4]),
        (&["red", &shop.name, "4", "2"][..], &["green", &shop.name, "1", "1"][..])
    );
    ensure!(shown.stdout.contains(" ago   a program   leave the count out of what red writes\n"), "{shown:?}");
    let one = plugin(&shop, &["blame", "api", "-o", "json"]).await?;
    let one: Value = serde_json::from_str(&one.stdout)?;
    assert_eq!(
        (&one["items"][0]["drifts"], &one["items"][0]["lastTarget"]),
        (&json!(1), &json!("deployment.apps/api"))
    );

    let all = outcome(shop.cluster.plugin().args(["blame", "-A", "-o", "json"])).await?;
    let all: Value = serde_json::from_str(&all.stdout)?;
    let of = |namespace: &str| -> Vec<Value> {
        let items = all["items"].as_array().into_iter().flatten().filter(|item| item["namespace"] == namespace);
        items.map(|item| json!([item["program"], item["drifts"], item["atLeast"]])).collect()
    };
    assert_eq!(of(&shop.name), [json!(["red", 4, false]), json!(["green", 1, false])]);
    let mut ledger = of(&bank.name);
    assert_eq!(ledger.pop(), Some(json!([null, 1, false])), "{all}");
    ensure!(ledger.len() == 5 && ledger.iter().all(|row| row[1] == 1 && row[2] == true), "{ledger:?}");
    let wide = plugin(&bank, &["blame", "-o", "wide"]).await?;
    ensure!(wide.stdout.contains("at least 1") && wide.stdout.contains("(not listed any more)"), "{wide:?}");
    Ok(())
}
