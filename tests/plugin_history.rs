//! `kubectl replicas history`: one timeline of changes and drifts, as a table, as a document and as a picture.

use std::fs;

use anyhow::{Context, Result, ensure};
use cluster::wait;
use serde_json::{Value, json};
use tokio::process::Command;

use support::{Namespace, Outcome, PATIENCE, User, manifests::Workload, outcome};

async fn plugin(shop: &Namespace<'_>, arguments: &[&str]) -> Result<Outcome> {
    outcome(shop.cluster.plugin().args(arguments).args(["--namespace", &shop.name])).await
}

async fn done(shop: &Namespace<'_>, arguments: &[&str]) -> Result<String> {
    let outcome = plugin(shop, arguments).await?;
    ensure!(outcome.code == Some(0), "{arguments:?}: {outcome:?}");
    Ok(outcome.stdout)
}

/// Writes a count as a program, and waits until the server has put it back.
async fn drift(shop: &Namespace<'_>, program: &str, replicas: i32, number: i64) -> Result<()> {
    let (program, patch) = (format!("--field-manager={program}"), json!({"spec": {"replicas": replicas}}).to_string());
    shop.kubectl(&["patch", "deployment/web", &program, "--patch", &patch]).await?;
    shop.wait_for_drifts("deployment.web", number).await.map(drop)
}

/// Waits until the status has this number of changes.
async fn wait_for_changes(shop: &Namespace<'_>, number: usize) -> Result<()> {
    let has_them = |count: &Value| count["status"]["changes"].as_array().is_some_and(|all| all.len() == number);
    shop.wait_for_replica_count("deployment.web", &format!("{number} changes"), has_them).await.map(drop)
}

/// The cells of a table, whose columns are three spaces apart.
fn cells(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect()
}

#[tokio::test]
async fn a_history_says_who_changed_what_and_why() -> Result<()> {
    let shop = Namespace::shared("timeline").await?;
    shop.create(&Workload::deployment("web").replicas(2).without_pods()).await?;
    done(&shop, &["set", "web", "3", "--reason", "launch <1> & more"]).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    drift(&shop, "red", 7, 1).await?;
    done(&shop, &["set", "web", "9", "--for", "2h", "--reason", "sale"]).await?;
    wait_for_changes(&shop, 2).await?;
    shop.wait_for_replicas("deployment/web", 9).await?;
    drift(&shop, "green", 1, 2).await?;

    let table = done(&shop, &["history", "web"]).await?;
    let rows = cells(&table);
    assert_eq!(rows[0], ["TIME", "WHAT", "FROM", "TO", "WHO", "REASON"], "{table}");
    let expected = [
        ["change 1", "-", "3", "admin", "launch <1> & more"],
        ["drift 1", "3", "7", "a program (red, Update)", "corrected after "],
        ["change 2: override", "3", "9", "admin", "sale"],
        ["drift 2", "9", "1", "a program (green, Update)", "corrected after "],
    ];
    for (row, expected) in rows[1..].iter().zip(expected) {
        assert_eq!(row[1..5], expected[..4], "{table}");
        ensure!(row[5].starts_with(expected[4]), "{table}");
    }
    assert_eq!(rows.len(), 5, "{table}");
    let times: Vec<_> = rows[1..].iter().map(|row| row[0].parse::<jiff::Timestamp>()).collect::<Result<_, _>>()?;
    ensure!(times.is_sorted(), "{table}");

    let json: Value = serde_json::from_str(&done(&shop, &["history", "deploy", "web", "-o", "json"]).await?)?;
    let yaml: Value = serde_yaml::from_str(&done(&shop, &["history", "web", "-o", "yaml"]).await?)?;
    assert_eq!(json, yaml);
    let items = json["items"].as_array().context("no items")?;
    let short: Vec<_> = items.iter().map(|item| json!([item["type"], item["number"], item["to"]])).collect();
    assert_eq!(
        short,
        [json!(["change", 1, 3]), json!(["drift", 1, 7]), json!(["change", 2, 9]), json!(["drift", 2, 1])]
    );
    ensure!(json["managed"] == true && items[1]["manager"] == "red" && items[2]["by"] == "admin", "{json}");
    Ok(())
}

#[tokio::test]
async fn a_history_is_drawn_for_an_incident_report() -> Result<()> {
    let shop = Namespace::shared("picture").await?;
    shop.create(&Workload::deployment("web").replicas(2).without_pods()).await?;
    done(&shop, &["set", "web", "3", "--reason", "launch <1> & more"]).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    drift(&shop, "red", 7, 1).await?;
    let file = shop.cluster.folder().join("history.svg").display().to_string();
    let drawn = plugin(&shop, &["history", "web", "--svg", &file]).await?;
    ensure!(drawn.code == Some(0) && drawn.stdout.is_empty() && drawn.stderr.contains(&file), "{drawn:?}");
    let picture = fs::read_to_string(&file)?;
    for part in [
        "<svg xmlns=",
        "launch &lt;1&gt; &amp; more",
        "a program (red, Update)",
        "admin",
        "3 → 7",
        &shop.name,
        "</svg>\n",
    ] {
        ensure!(picture.contains(part), "{part:?} is missing in {picture}");
    }
    ensure!(!picture.contains("<1>"), "{picture}");
    let printed = done(&shop, &["history", "web", "--svg", "-"]).await?;
    ensure!(printed.starts_with("<svg ") && printed.ends_with("</svg>\n"), "{printed}");

    let nowhere = plugin(&shop, &["history", "web", "--svg", "/nowhere/history.svg"]).await?;
    ensure!(nowhere.code == Some(1) && nowhere.stderr.contains("picture to /nowhere/history.svg"), "{nowhere:?}");
    let both = plugin(&shop, &["history", "web", "--svg", "-", "-o", "json"]).await?;
    ensure!(both.code == Some(2) && both.stdout.is_empty(), "{both:?}");
    Ok(())
}

/// Prepares the plugin with a direct address, and the rights of a user at the API server.
fn with_address(user: &User<'_>, shop: &Namespace<'_>, arguments: &[&str]) -> Command {
    let [ca, certificate, key] = shop.cluster.client_files();
    let mut plugin = shop.cluster.plugin();
    plugin.env("KUBECONFIG", &user.kubeconfig).env_remove("KUBECTL_REPLICAS_CONFIG");
    plugin.args(arguments).args(["--namespace", &shop.name, "--address", shop.cluster.grpc_address()]);
    plugin.args(["--ca", &ca, "--cert", &certificate, "--key", &key]).env("KUBECTL_REPLICAS_SERVER_NAME", "");
    plugin
}

#[tokio::test]
async fn the_history_of_an_unmanaged_target_is_its_end() -> Result<()> {
    let shop = Namespace::shared("ended").await?;
    shop.create(&Workload::deployment("web").replicas(2).without_pods()).await?;
    let never = plugin(&shop, &["history", "web"]).await?;
    ensure!(never.code == Some(1) && never.stdout.is_empty() && never.stderr.contains("is not managed"), "{never:?}");

    done(&shop, &["set", "web", "3"]).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    done(&shop, &["unset", "web", "--restore"]).await?;
    shop.wait_until_unmanaged("web").await?;
    let note = "the replica count is no longer held at 3 (set by admin): put back to 2 for admin";
    wait::until("the end in the history", PATIENCE, async || {
        let table = done(&shop, &["history", "web"]).await?;
        let rows = cells(&table);
        ensure!(rows.len() == 2 && rows[1][1] == "unmanaged" && rows[1].last() == Some(&note), "{table}");
        Ok(())
    })
    .await?;
    let json: Value = serde_json::from_str(&done(&shop, &["history", "web", "-o", "json"]).await?)?;
    assert_eq!((&json["managed"], &json["items"][0]["note"]), (&json!(false), &json!(note)));

    // Without the right to read Events, the refusal of the server remains, and the reason is said.
    let nina = User::new(shop.cluster, "nina-history")?;
    let blind = outcome(&mut with_address(&nina, &shop, &["history", "web"])).await?;
    ensure!(blind.code == Some(1) && blind.stdout.is_empty(), "{blind:?}");
    for part in ["warning: ", "not allowed to list events in the namespace", "is not managed"] {
        ensure!(blind.stderr.contains(part), "{part:?} is missing in {blind:?}");
    }

    // The end of the earlier management comes first.
    done(&shop, &["set", "web", "4"]).await?;
    wait_for_changes(&shop, 1).await?;
    let table = done(&shop, &["history", "web"]).await?;
    let what: Vec<_> = cells(&table)[1..].iter().map(|row| row[1]).collect();
    assert_eq!(what, ["unmanaged", "change 1"], "{table}");
    let managed = outcome(&mut with_address(&nina, &shop, &["history", "web"])).await?;
    ensure!(managed.code == Some(0) && managed.stderr.is_empty(), "{managed:?}");
    assert_eq!(cells(&managed.stdout).len(), 2, "{managed:?}");
    Ok(())
}
