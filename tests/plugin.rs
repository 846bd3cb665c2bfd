//! `kubectl replicas`, run by the real kubectl. The plugin opens the port-forward.

use std::{fs, process::Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout},
    sync::mpsc,
};

use support::{Namespace, Outcome, outcome};

/// The version of the protocol with credential programs.
const EXEC_VERSION: &str = "client.authentication.k8s.io/v1";

async fn plugin(shop: &Namespace<'_>, line: &str) -> Result<Outcome> {
    outcome(shop.cluster.plugin().args(line.split(' ')).args(["--namespace", &shop.name])).await
}

/// Runs the plugin, which must succeed, and returns its standard output.
async fn done(shop: &Namespace<'_>, line: &str) -> Result<String> {
    let outcome = plugin(shop, line).await?;
    assert_eq!(outcome.code, Some(0), "{line}: {outcome:?}");
    Ok(outcome.stdout)
}

#[tokio::test]
async fn a_count_is_set_shown_and_unset() -> Result<()> {
    let shop = Namespace::shared("plugin").await?;
    shop.deployment("web", 2).await?;
    assert_eq!(done(&shop, "set web 3").await?, "deployment.apps/web set to 3 (was not managed)\n");
    assert_eq!(done(&shop, "set deploy/web 4 --reason sale").await?, "deployment.apps/web set to 4 (was 3)\n");
    shop.wait_for_replicas("deployment/web", 4).await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=9"]).await?;
    shop.wait_for_drifts("deployment.web", 1).await?;
    shop.wait_for_replica_count("deployment.web", "four ready replicas", |count| count["status"]["ready"] == 4).await?;

    let table = done(&shop, "list").await?;
    let lines: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..5], ["TARGET", "DESIRED", "CURRENT", "READY", "DRIFTS"], "{table}");
    assert_eq!(lines[1][..7], ["deployment.apps/web", "4", "4", "4", "1", "kubectl", "4->9,"], "{table}");
    assert!(done(&shop, "list -o wide").await?.contains("sale"));
    assert_eq!(done(&shop, "list -o name").await?, "deployment.apps/web\n");

    let described = done(&shop, "get web").await?;
    for part in ["deployment.apps/web", "admin", "sale", "kubectl", "4->9", "InPlace"] {
        assert!(described.contains(part), "{part:?} is missing in {described}");
    }
    assert!(done(&shop, "unset web").await?.starts_with("deployment.apps/web unset"));
    let empty = plugin(&shop, "list").await?;
    assert_eq!((empty.code, empty.stdout.as_str()), (Some(0), ""));
    assert!(empty.stderr.contains(&shop.name), "{empty:?}");
    Ok(())
}

#[tokio::test]
async fn list_and_get_print_json_and_yaml() -> Result<()> {
    let shop = Namespace::shared("formats").await?;
    shop.deployment("web", 2).await?;
    shop.stateful_set("db", 1).await?;
    done(&shop, "set web=0 sts/db=2").await?;
    shop.wait_for_replica_count("statefulset.db", "two ready replicas", |count| count["status"]["ready"] == 2).await?;
    shop.wait_for_replica_count("deployment.web", "no replicas", |count| count["status"]["observed"] == 0).await?;
    let list: Value = serde_json::from_str(&done(&shop, "list -o json").await?)?;
    let items = list["items"].as_array().context("no items")?;
    assert_eq!(
        (&items[0]["target"]["name"], &items[0]["desired"], &items[0]["observed"]),
        (&"web".into(), &0.into(), &0.into())
    );
    assert_eq!((&items[1]["target"]["kind"], &items[1]["ready"]), (&"StatefulSet".into(), &2.into()));
    let one: Value = serde_json::from_str(&done(&shop, "get sts/db -o json").await?)?;
    let yaml: Value = serde_yaml::from_str(&done(&shop, "get sts/db -o yaml").await?)?;
    assert_eq!(one, yaml);
    assert_eq!(one["originalReplicas"], 1);
    Ok(())
}

#[tokio::test]
async fn set_changes_several_targets_and_waits_for_them() -> Result<()> {
    let shop = Namespace::shared("several").await?;
    for name in ["a", "b", "c"] {
        shop.deployment(name, 1).await?;
    }
    let set = plugin(&shop, "set --replicas 3 a b c --wait --timeout 60s").await?;
    assert_eq!(set.code, Some(0), "{set:?}");
    for name in ["a", "b", "c"] {
        assert!(set.stdout.contains(&format!("deployment.apps/{name} set to 3 (was not managed)")), "{set:?}");
        let ready = shop.get(&format!("deployment/{name}")).await?["status"]["readyReplicas"].clone();
        assert_eq!(ready, 3, "--wait ends when all replicas are ready");
    }
    assert_eq!(done(&shop, "set --current a").await?, "deployment.apps/a unchanged\n");
    Ok(())
}

#[tokio::test]
async fn wrong_arguments_are_refused_before_any_call() -> Result<()> {
    let shop = Namespace::shared("wrong").await?;
    shop.deployment("a", 1).await?;
    for (line, message) in [
        ("set a=3 b=-1", "\"-1\" is not a count of replicas"),
        ("set a 3 b", "neither a TARGET and its COUNT nor TARGET=COUNT..."),
        ("set a", "no count is given for"),
        ("set a=3 a=4", "is named twice"),
        ("unset a deploy/a", "is named twice"),
        ("set a 3 --dry-run=client", "use --dry-run=server"),
        ("set a/b/c 3", "there is more than one slash"),
        ("set foo..apps/x 3", "the kind \"foo..apps\" is unknown"),
    ] {
        let refused = plugin(&shop, line).await?;
        assert_eq!(refused.code, Some(2), "{line}: {refused:?}");
        assert!(refused.stderr.contains(message), "{line}: {refused:?}");
    }
    for (line, message) in [
        ("set nosuch/x 3", "no API group has a resource nosuch"),
        ("set foo.apps/x 3", "the API group apps has no resource foo"),
    ] {
        let unknown = plugin(&shop, line).await?;
        assert!(unknown.code == Some(1) && unknown.stderr.contains(message), "{line}: {unknown:?}");
    }
    assert_eq!(shop.kubectl(&["get", "replicacounts", "--output=name"]).await?, "");
    Ok(())
}

#[tokio::test]
async fn one_failed_target_does_not_stop_the_others() -> Result<()> {
    let shop = Namespace::shared("partly").await?;
    shop.deployment("a", 1).await?;
    shop.deployment("c", 1).await?;
    let set = plugin(&shop, "set --replicas 2 a b c").await?;
    assert_eq!(set.code, Some(1), "{set:?}");
    assert!(set.stdout.contains("deployment.apps/a set to 2") && set.stdout.contains("deployment.apps/c set to 2"));
    assert!(set.stderr.contains("deployment.apps/b in namespace") && set.stderr.contains("1 of 3"), "{set:?}");
    let got = plugin(&shop, "get a b c -o name").await?;
    assert_eq!((got.code, got.stdout.as_str()), (Some(1), "deployment.apps/a\ndeployment.apps/c\n"), "{got:?}");
    assert!(got.stderr.contains("1 of 3 targets could not be read"), "{got:?}");
    for line in ["get a c -o json", "explain a c -o json", "history a c -o json"] {
        let list: Value = serde_json::from_str(&done(&shop, line).await?)?;
        assert_eq!(list["items"].as_array().map(Vec::len), Some(2), "{line}: {list}");
    }
    for dry in ["--dry-run", "--dry-run=server"] {
        let expected = "deployment.apps/a set to 5 (was 2) (server dry run)\n";
        assert_eq!(done(&shop, &format!("set {dry} a 5")).await?, expected);
    }
    assert_eq!(shop.get("replicacount/deployment.a").await?["spec"]["replicas"], 2);
    let unexpected = plugin(&shop, "set a 5 --current-replicas 9").await?;
    assert_eq!(unexpected.code, Some(1), "{unexpected:?}");
    Ok(())
}

#[tokio::test]
async fn a_closed_standard_output_does_not_stop_the_sets() -> Result<()> {
    let shop = Namespace::shared("unread").await?;
    for name in ["a", "b", "c"] {
        shop.deployment(name, 1).await?;
    }
    for (line, code) in [("set --replicas 2 a b c", 0), ("set --replicas 3 a nosuch b c --wait", 1)] {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let mut plugin = shop.cluster.plugin();
        plugin.args(line.split(' ')).args(["--namespace", &shop.name]).stdout(writer).stderr(Stdio::piped());
        let output = plugin.spawn()?.wait_with_output().await?;
        let stderr = String::from_utf8(output.stderr)?;
        assert_eq!((output.status.code(), stderr.contains("1 of 4")), (Some(code), code == 1), "{line}: {stderr}");
        let replicas = shop.get("replicacount/deployment.c").await?["spec"]["replicas"].clone();
        assert_eq!(replicas, if code == 0 { 2 } else { 3 }, "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn the_wait_survives_a_broken_connection() -> Result<()> {
    let shop = Namespace::shared("breaks").await?;
    let proxy = BreakableProxy::to(shop.cluster.grpc_address()).await?;
    let (waiting, mut lines) = proxy.wait_for(&shop, "soon").await?;
    proxy.break_connection().await?;
    shop.deployment("soon", 1).await?;
    assert_eq!(lines.next_line().await?.as_deref(), Some("deployment.apps/soon is ready (3/3)"));
    let ended = waiting.wait_with_output().await?;
    assert!(ended.status.success(), "{ended:?}");

    let (waiting, _lines) = proxy.wait_for(&shop, "never").await?;
    shop.kubectl(&["delete", "replicacount", "deployment.never"]).await?;
    proxy.break_connection().await?;
    let ended = waiting.wait_with_output().await?;
    let stderr = String::from_utf8(ended.stderr)?;
    assert_eq!(ended.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("deployment.apps/never is not managed any more"), "{stderr}");
    Ok(())
}

/// A proxy to the server that accepts one connection after another, and breaks a connection on demand.
struct BreakableProxy {
    address: String,
    breaks: mpsc::Sender<()>,
}

impl BreakableProxy {
    async fn to(server: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, server) = (listener.local_addr()?.to_string(), server.to_owned());
        let (breaks, mut broken) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let Ok(mut far) = TcpStream::connect(&server).await else { return };
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    // Without lingering, the plugin sees a reset.
                    _ = broken.recv() => drop(near.set_zero_linger()),
                }
            }
        });
        Ok(Self { address, breaks })
    }

    async fn break_connection(&self) -> Result<()> {
        Ok(self.breaks.send(()).await?)
    }

    /// Sets a target that does not exist, and waits until it is set. The plugin then waits for the target.
    async fn wait_for(&self, shop: &Namespace<'_>, name: &str) -> Result<(Child, Lines<BufReader<ChildStdout>>)> {
        let mut plugin = shop.cluster.plugin();
        plugin.args(["set", name, "3", "--allow-missing", "--wait", "--timeout", "60s", "--namespace", &shop.name]);
        plugin.args(["--address", &self.address]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = plugin.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        assert_eq!(lines.next_line().await?, Some(format!("deployment.apps/{name} set to 3 (was not managed)")));
        Ok((child, lines))
    }
}

#[tokio::test]
async fn the_credential_program_runs_once_in_a_command() -> Result<()> {
    let shop = Namespace::shared("credential").await?;
    shop.deployment("web", 1).await?;
    let folder = shop.cluster.folder().join("credential-program");
    fs::create_dir(&folder)?;
    let kubeconfig = fs::read_to_string(shop.cluster.control_plane.kubeconfig())?;
    let mut kubeconfig: Value = serde_json::from_str(&kubeconfig)?;
    let user = kubeconfig["users"][0]["user"].take();
    let text = |field: &str| -> Result<String> {
        Ok(String::from_utf8(serde_json::from_value::<k8s_openapi::ByteString>(user[field].clone())?.0)?)
    };
    let status = json!({
        "clientCertificateData": text("client-certificate-data")?,
        "clientKeyData": text("client-key-data")?,
    });
    let answer = json!({"apiVersion": EXEC_VERSION, "kind": "ExecCredential", "status": status});
    let (file, runs) = (folder.join("answer.json"), folder.join("runs"));
    fs::write(&file, answer.to_string())?;
    let script = format!("echo run >>{}; cat {}", runs.display(), file.display());
    kubeconfig["users"][0]["user"] = json!({"exec": {
        "apiVersion": EXEC_VERSION, "command": "sh", "args": ["-c", script], "interactiveMode": "Never",
    }});
    let path = folder.join("config");
    fs::write(&path, kubeconfig.to_string())?;
    for line in ["list", "set web 2", "set deployments.v1.apps/web +1", "get widgets/web", "whoami", "version"] {
        let mut plugin = shop.cluster.plugin();
        plugin.env("KUBECONFIG", &path).args(line.split(' ')).args(["--namespace", &shop.name]);
        let ended = outcome(&mut plugin).await?;
        assert_eq!(ended.code == Some(0), line != "get widgets/web", "{line}: {ended:?}");
        assert_eq!(fs::read_to_string(&runs)?, "run\n", "{line}");
        fs::remove_file(&runs)?;
    }
    Ok(())
}

#[tokio::test]
async fn list_shows_all_namespaces_and_version_shows_both_versions() -> Result<()> {
    let shop = Namespace::shared("versions").await?;
    shop.deployment("web", 1).await?;
    done(&shop, "set web 1").await?;
    let all = outcome(shop.cluster.plugin().args(["list", "-A"])).await?;
    assert!(all.stdout.starts_with("NAMESPACE") && all.stdout.contains(&shop.name), "{all:?}");
    let version = env!("CARGO_PKG_VERSION");
    let both = outcome(shop.cluster.plugin().arg("version")).await?;
    assert_eq!(both.stdout, format!("Client Version: v{version}\nServer Version: v{version}\n"), "{both:?}");
    Ok(())
}
