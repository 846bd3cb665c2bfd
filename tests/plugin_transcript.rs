//! A transcript of the plugin: many commands, right and wrong, each with its exact output in a pipe. Hints that are
//! commands are run, and must work.
//!
//! `UPDATE_TRANSCRIPT=1` writes the transcript anew.

use std::fs;

use anyhow::{Result, ensure};
use cluster::run;

use support::{Namespace, ROOT, User};

use crate::{
    login::shared_cluster,
    transcript::{Shell, general},
};

/// The transcript.
const TRANSCRIPT: &str = "tests/plugin_transcript.txt";

/// The commands, without `kubectl replicas`. Lines that start with `kubectl` are preparations.
const COMMANDS: &str = include_str!("plugin_transcript_commands.txt");

#[tokio::test]
async fn every_command_answers_as_it_did_and_every_hint_works() -> Result<()> {
    let cluster = shared_cluster().await?;
    let shop = Namespace::new(cluster, "transcript").await?;
    for name in ["web", "api", "deployment"] {
        shop.deployment(name, 1).await?;
    }
    for name in ["db", "other"] {
        shop.stateful_set(name, 1).await?;
    }
    let user = User::new(cluster, "tess")?;
    user.grant_connect().await?;
    user.grant_login().await?;
    user.grant_edit(&shop.name).await?;
    let mut context = cluster.kubectl();
    context.env("KUBECONFIG", &user.kubeconfig);
    run(context.args(["config", "set-context", "--current", "--namespace", &shop.name])).await?;
    let shell = Shell { user, shop };

    let mut transcript = String::new();
    let mut commands = 0;
    for line in COMMANDS.lines().filter(|line| !line.is_empty()) {
        if line.starts_with("kubectl ") {
            run(&mut shell.command(line)).await?;
        } else {
            commands += 1;
            let line = format!("kubectl replicas {}", line.replace("LONG", &"x".repeat(300)));
            transcript += &general(&shell.show(&line).await?).replace(&"x".repeat(300), "LONG");
            transcript.push('\n');
        }
    }
    ensure!(commands >= 60, "only {commands} commands");
    let path = format!("{ROOT}/{TRANSCRIPT}");
    if std::env::var_os("UPDATE_TRANSCRIPT").is_some() {
        fs::write(&path, &transcript)?;
    }
    let expected = fs::read_to_string(&path)?;
    for (line, expected) in transcript.lines().zip(expected.lines()) {
        assert_eq!(line, expected, "in {transcript}");
    }
    assert_eq!(transcript.lines().count(), expected.lines().count(), "{transcript}");
    Ok(())
}
