//! The workflows that build, test and release in other places.

use std::path::Path;

use anyhow::Result;
use cluster::{Tool, find_tool, run};
use tokio::process::Command;

use support::ROOT;

#[tokio::test]
async fn actionlint_finds_nothing_in_the_workflows() -> Result<()> {
    let actionlint = tokio::task::spawn_blocking(|| find_tool(Tool::Actionlint)).await??;
    // What it would find with other programs depends on the machine.
    let flags = ["-no-color", "-shellcheck=", "-pyflakes="];
    run(Command::new(actionlint).args(flags).current_dir(Path::new(ROOT))).await.map(drop)
}
