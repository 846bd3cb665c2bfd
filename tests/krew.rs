//! The plugin, installed by krew under both of its names.

use std::fs;

use anyhow::{Result, ensure};
use cluster::run;

use support::{ROOT, shared_cluster};

#[tokio::test]
async fn krew_installs_the_plugin_from_its_archive_and_kubectl_runs_it() -> Result<()> {
    let cluster = shared_cluster().await?;
    let dist = cluster.folder().join("dist");
    let platform = if cfg!(target_arch = "aarch64") { "linux-arm64" } else { "linux-amd64" };
    let mut pack = cluster.command(format!("{ROOT}/release/archive"));
    pack.env("DIST", &dist).args(["kubectl-replicas", platform]);
    run(pack.arg(support::release::program("kubectl-replicas")?)).await?;
    let archive = dist.join(format!("kubectl-replicas-{platform}.tar.gz"));

    for name in ["replicas", "hold-replicas"] {
        let manifest = dist.join(format!("{name}.yaml"));
        let mut describe = cluster.command(format!("{ROOT}/krew/manifest"));
        fs::write(&manifest, run(describe.arg(name).arg(&archive)).await?)?;
        let mut krew = cluster.command("krew");
        krew.arg("install").arg("--manifest").arg(&manifest).arg("--archive").arg(&archive);
        run(&mut krew).await?;
        let version = run(cluster.kubectl().args([name, "version", "--client"])).await?;
        assert_eq!(version.trim(), concat!("Client Version: v", env!("CARGO_PKG_VERSION")));
        let help = run(cluster.kubectl().args([name, "--help"])).await?;
        ensure!(help.contains(&format!("kubectl {name} set web 3")), "{help}");
    }
    let plugins = run(cluster.kubectl().args(["plugin", "list"])).await?;
    for program in ["krew/bin/kubectl-replicas", "krew/bin/kubectl-hold_replicas"] {
        ensure!(plugins.contains(program), "{plugins}");
    }
    Ok(())
}

#[tokio::test]
async fn equal_files_give_equal_archives() -> Result<()> {
    let cluster = shared_cluster().await?;
    let program = cluster.folder().join("some-program");
    fs::write(&program, "a program")?;
    let mut archives = Vec::new();
    for umask in ["022", "077"] {
        let mut pack = cluster.command("sh");
        pack.env("DIST", cluster.folder().join(umask)).env("SOURCE_DATE_EPOCH", "86400").arg("-c");
        pack.arg(format!("umask {umask} && exec '{ROOT}/release/archive' kubectl-replicas windows-amd64 \"$0\""));
        let archive = run(pack.arg(&program)).await?;
        archives.push(fs::read(archive.trim())?);
        // Two archives of the same second would also be equal with the time of the clock.
        let listed =
            run(cluster.command("tar").args(["--list", "--verbose", "--utc", "--file", archive.trim()])).await?;
        ensure!(listed.lines().count() == 2 && listed.matches("1970-01-02 00:00").count() == 2, "{listed}");
        ensure!(listed.starts_with("-rw-r--r-- 0/0") && listed.contains("\n-rwxr-xr-x 0/0"), "{listed}");
    }
    assert!(archives[0] == archives[1], "they differ");
    Ok(())
}
