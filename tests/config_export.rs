//! `kubectl replicas config export` and the documented call by grpcurl, which uses its files.

use std::{fs, os::unix::fs::PermissionsExt, process::Stdio};

use anyhow::{Result, ensure};
use cluster::{ports, run, wait};
use tokio::net::TcpStream;

use support::{Namespace, PATIENCE, ROOT, User, documented_call, outcome, release};

use crate::login::shared_cluster;

#[tokio::test]
async fn the_exported_files_are_those_of_the_documented_call() -> Result<()> {
    let cluster = shared_cluster().await?;
    let shop = Namespace::new(cluster, "exported").await?;
    shop.deployment("web", 3).await?;
    let xena = User::new(cluster, "xena")?;
    xena.grant_connect().await?;
    xena.grant_login().await?;
    xena.grant_edit(&shop.name).await?;
    let folder = cluster.folder().join("exported");
    fs::create_dir(&folder)?;
    std::os::unix::fs::symlink(format!("{ROOT}/proto"), folder.join("proto"))?;
    let export = |flags: &[&str]| {
        let mut export = xena.plugin(&["config", "export"]);
        export.args(flags).current_dir(&folder);
        export
    };
    let early = outcome(&mut export(&[])).await?;
    ensure!(early.code == Some(3) && early.stderr.contains("login"), "{early:?}");

    xena.run(&["login"]).await?;
    xena.run(&["set", "web", "3", "--namespace", &shop.name]).await?;
    let exported = outcome(&mut export(&[])).await?;
    let files = ["certificates/ca/ca.crt", "certificates/client/client.crt", "certificates/client/client.key"];
    let lines = files.map(|file| format!("{file} written\n")).concat();
    assert_eq!((exported.code, exported.stdout.as_str()), (Some(0), lines.as_str()), "{exported:?}");
    ensure!(exported.stderr.starts_with("the certificate is that of xena, and ends at "), "{exported:?}");
    for file in files {
        let mode = fs::metadata(folder.join(file))?.permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }

    let port = ports::free()?;
    let mut forward = cluster.kubectl();
    forward.env("KUBECONFIG", &xena.kubeconfig).args(["port-forward", "--namespace", release::NAME]);
    forward.args(["service/replica-count-manager", &format!("{port}:8080")]);
    let _forward = forward.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
    let connect = async || Ok(TcpStream::connect(("127.0.0.1", port)).await.map(drop)?);
    wait::until("the port-forward", PATIENCE, connect).await?;
    let call = documented_call()?;
    ensure!(call.contains("localhost:8080") && call.contains("my-app-namespace"), "{call}");
    let call = call.replace(":8080", &format!(":{port}")).replace("my-app-namespace", &shop.name);
    let answer = run(cluster.command("sh").args(["-c", &call]).current_dir(&folder)).await?;
    ensure!(answer.contains("\"web\""), "{answer}");

    // A second export replaces the files, but never those of a CA.
    run(&mut export(&["--to", "certificates"])).await?;
    fs::write(folder.join("certificates/ca/ca.key"), "")?;
    let refused = outcome(&mut export(&[])).await?;
    ensure!(refused.code == Some(3) && refused.stderr.contains("hint: name another folder with --to"), "{refused:?}");
    Ok(())
}
