//! `kubectl replicas wait`: it ends when the replicas are ready, and says why they are not.

use std::{fs, process::Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use support::{Namespace, Outcome, outcome};

async fn plugin(shop: &Namespace<'_>, line: &str) -> Result<Outcome> {
    outcome(shop.cluster.plugin().args(line.split(' ')).args(["--namespace", &shop.name])).await
}

/// Creates a Deployment whose pods fit on no node.
async fn create_unready(shop: &Namespace<'_>, name: &str) -> Result<()> {
    shop.deployment(name, 1).await?;
    let nowhere = r#"{"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null},
        "template": {"spec": {"nodeSelector": {"zone": "nowhere"}}}}}"#;
    shop.kubectl(&["patch", &format!("deployment/{name}"), "--patch", nowhere]).await.map(drop)
}

#[tokio::test]
async fn a_wait_ends_when_all_replicas_are_ready() -> Result<()> {
    let shop = Namespace::shared("waiting").await?;
    let nothing = plugin(&shop, "wait").await?;
    ensure!(nothing.code == Some(1) && nothing.stderr.contains("no replica counts to wait for"), "{nothing:?}");
    for name in ["web", "api"] {
        shop.deployment(name, 1).await?;
    }
    let unmanaged = plugin(&shop, "wait web").await?;
    ensure!(unmanaged.code == Some(1) && unmanaged.stderr.contains("is not managed"), "{unmanaged:?}");
    ensure!(plugin(&shop, "set web=3 api=2").await?.code == Some(0));
    for line in ["wait --timeout 60s", "wait web api", "wait -l app=web"] {
        let ended = plugin(&shop, line).await?;
        ensure!(ended.code == Some(0), "{line}: {ended:?}");
        ensure!(ended.stdout.contains("deployment.apps/web is ready (3/3)\n"), "{line}: {ended:?}");
        assert_eq!(ended.stdout.contains("deployment.apps/api is ready (2/2)\n"), !line.contains("-l"), "{line}");
    }
    let ready = shop.get("deployment/web").await?["status"]["readyReplicas"].clone();
    assert_eq!(ready, 3);
    Ok(())
}

#[tokio::test]
async fn a_wait_says_why_it_took_too_long_and_follows_other_counts() -> Result<()> {
    let shop = Namespace::shared("stuck").await?;
    create_unready(&shop, "web").await?;
    ensure!(plugin(&shop, "set web 3").await?.code == Some(0));
    shop.wait_for_replicas("deployment/web", 3).await?;
    let late = plugin(&shop, "wait web --timeout 2s").await?;
    assert_eq!((late.code, late.stdout.as_str()), (Some(4), ""), "{late:?}");
    ensure!(late.stderr.starts_with("error: not ready after 2s: deployment.apps/web: 0 of 3 ready"), "{late:?}");
    ensure!(late.stderr.contains("Unschedulable: 0/"), "{late:?}");

    let mut waiting = shop.cluster.plugin();
    waiting.args(["wait", "web", "--timeout", "60s", "--namespace", &shop.name]);
    waiting.args(["-v=6"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut waiting = waiting.kill_on_drop(true).spawn()?;
    let mut stderr = BufReader::new(waiting.stderr.take().context("no standard error")?).lines();
    // The list comes before the watch.
    while let Some(line) = stderr.next_line().await? {
        if line.contains("/GetReplicaCount") {
            break;
        }
    }
    ensure!(plugin(&shop, "set web 0").await?.code == Some(0));
    let mut notes = String::new();
    while let Some(line) = stderr.next_line().await? {
        notes += &(line + "\n");
    }
    let mut stdout = String::new();
    waiting.stdout.take().context("no standard output")?.read_to_string(&mut stdout).await?;
    ensure!(waiting.wait().await?.success(), "{notes}");
    assert_eq!(stdout, "deployment.apps/web is ready (0/0)\n");
    ensure!(notes.contains("deployment.apps/web was set to 0 by admin before its 3 were ready\n"), "{notes}");
    Ok(())
}

#[tokio::test]
async fn a_wait_with_an_address_runs_no_credential_program() -> Result<()> {
    let shop = Namespace::shared("quiet").await?;
    create_unready(&shop, "web").await?;
    let folder = shop.cluster.folder().join("quiet-program");
    fs::create_dir(&folder)?;
    let (runs, kubeconfig) = (folder.join("runs"), folder.join("config"));
    let text = fs::read_to_string(shop.cluster.control_plane.kubeconfig())?;
    let mut config: serde_json::Value = serde_json::from_str(&text)?;
    config["users"][0]["user"] = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "interactiveMode": "Never",
        "args": ["-c", format!("echo run >>{}; exit 1", runs.display())],
    }});
    fs::write(&kubeconfig, config.to_string())?;
    let [ca, certificate, key] = shop.cluster.client_files();
    for (line, code) in
        [("set web 3 --wait --timeout 1s", 4), ("wait web --timeout 1s", 4), ("history web", 0), ("blame web", 0)]
    {
        let mut plugin = shop.cluster.plugin();
        plugin.env("KUBECONFIG", &kubeconfig).env_remove("KUBECTL_REPLICAS_CONFIG");
        plugin.args(line.split(' ')).args(["--namespace", &shop.name, "--address", shop.cluster.grpc_address()]);
        plugin.args(["--ca", &ca, "--cert", &certificate, "--key", &key]).env("KUBECTL_REPLICAS_SERVER_NAME", "");
        let ended = outcome(&mut plugin).await?;
        ensure!(ended.code == Some(code) && !runs.exists(), "{line}: {ended:?}");
        ensure!(!ended.stderr.contains("Unschedulable"), "{line}: {ended:?}");
    }
    Ok(())
}
