//! The command that makes certificates.

use std::{fs, os::unix::fs::PermissionsExt};

use anyhow::{Context, Result};

use support::{release, shared_cluster};

#[tokio::test]
async fn keys_are_private_and_existing_files_are_kept_without_force() -> Result<()> {
    let cluster = shared_cluster().await?;
    let folder = cluster.folder().join("made");
    release::make_certificates(&folder).await?;
    for key in ["ca/ca.key", "server/server.key", "client/client.key"] {
        assert_eq!(fs::metadata(folder.join(key))?.permissions().mode() & 0o777, 0o600, "{key}");
    }
    let before = fs::read(folder.join("client/client.crt"))?;
    let error = release::make_certificates(&folder).await.err().context("should be refused")?.to_string();
    assert!(error.contains("--force"), "{error}");
    assert_eq!(fs::read(folder.join("client/client.crt"))?, before);
    Ok(())
}

#[test]
fn git_ignores_the_certificates() -> Result<()> {
    for file in ["ca/ca.key", "ca/ca.crt", "server/server.key", "client/client.key", "client-alice/client.key"] {
        let mut git = std::process::Command::new("git");
        git.current_dir(support::ROOT).args(["check-ignore", "--quiet"]);
        assert!(git.arg(format!("certificates/{file}")).status()?.success(), "{file}");
    }
    Ok(())
}
