//! `kubectl replicas --address`: callers who reach the server, and perhaps not the API server.

use std::{fs, path::Path};

use anyhow::Result;
use serde_json::json;

use support::{Namespace, Outcome, outcome};

/// Runs a line of the plugin that connects to the server's address.
async fn direct(shop: &Namespace<'_>, kubeconfig: &Path, line: &str) -> Result<Outcome> {
    let [ca, certificate, key] = shop.cluster.client_files();
    let mut plugin = shop.cluster.plugin();
    plugin.env("KUBECONFIG", kubeconfig).env_remove("KUBECTL_REPLICAS_CONFIG");
    plugin.args(line.split(' ')).args(["--namespace", &shop.name, "--address", shop.cluster.grpc_address()]);
    plugin.args(["--ca", &ca, "--cert", &certificate, "--key", &key, "--context", ""]);
    plugin.env("KUBECTL_REPLICAS_SERVER_NAME", "");
    outcome(&mut plugin).await
}

#[tokio::test]
async fn a_direct_address_needs_no_port_forward() -> Result<()> {
    let shop = Namespace::shared("direct").await?;
    shop.deployment("web", 2).await?;
    let set = direct(&shop, Path::new("/nowhere"), "set web 3").await?;
    assert_eq!(
        (set.code, set.stdout.as_str()),
        (Some(0), "deployment.apps/web set to 3 (was not managed)\n"),
        "{set:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_direct_address_needs_no_api_server() -> Result<()> {
    let shop = Namespace::shared("no-api-server").await?;
    shop.deployment("my.app", 2).await?;
    let kubeconfig = shop.cluster.folder().join("no-api-server.json");
    let content = json!({
        "clusters": [{"name": "gone", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "gone", "user": {"token": "none"}}],
        "contexts": [{"name": "gone", "context": {"cluster": "gone", "user": "gone"}}],
        "current-context": "gone",
    });
    fs::write(&kubeconfig, content.to_string())?;
    for (line, code, stdout, stderr) in [
        ("set deploy/my.app 3", 0, "deployment.apps/my.app set to 3 (was not managed)\n", ""),
        ("list my.app -o name", 0, "deployment.apps/my.app\n", ""),
        ("set nosuch my.app --replicas 4", 2, "", "\"nosuch\" may be a kind or the name of a Deployment"),
        ("unset nosuch my.app", 2, "", "\"nosuch\" may be a kind or the name of a Deployment"),
    ] {
        let ended = direct(&shop, &kubeconfig, line).await?;
        let is_as_expected = (ended.code, ended.stdout.as_str()) == (Some(code), stdout);
        assert!(is_as_expected && ended.stderr.contains(stderr), "{line}: {ended:?}");
    }
    Ok(())
}
