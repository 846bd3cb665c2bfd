//! A transcript of the plugin: many commands, right and wrong, each with its exact output in a pipe. Hints that are
//! commands are run, and must work.
//!
//! `UPDATE_TRANSCRIPT=1` writes the transcript anew.

use std::fs;

use anyhow::{Context, Result, ensure};
use cluster::run;
use tokio::process::Command;

use support::{Namespace, ROOT, User, outcome};

use crate::login::shared_cluster;

/// The transcript.
const TRANSCRIPT: &str = "tests/plugin_transcript.txt";

/// The commands, without `kubectl replicas`. Lines that start with `kubectl` are preparations.
const COMMANDS: &str = include_str!("plugin_transcript_commands.txt");

/// A user's shell.
struct Shell<'a> {
    user: User<'a>,
    shop: Namespace<'a>,
}

impl Shell<'_> {
    /// Prepares a command line without quotes.
    fn command(&self, line: &str) -> Command {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["kubectl", "replicas", words @ ..] => self.user.plugin(words),
            ["kubectl", words @ ..] => {
                let mut kubectl = self.shop.cluster.kubectl();
                kubectl.env("KUBECONFIG", &self.user.kubeconfig).args(words);
                kubectl
            }
            words => self.user.plugin(words),
        }
    }

    /// Runs a command of the plugin, and returns what a person would see of it.
    async fn show(&self, line: &str) -> Result<String> {
        let ended = outcome(&mut self.command(line)).await?;
        let mut text = format!("$ kubectl replicas {line}\n{}{}", ended.stdout, ended.stderr);
        match ended.code {
            Some(0) => {}
            code => text += &format!("({})\n", code.context("a signal ended it")?),
        }
        for hint in ended.stderr.lines().filter_map(|line| line.strip_prefix("hint: ")) {
            // Every second part is between backticks.
            for hint in hint.split('`').skip(1).step_by(2).filter(|part| part.starts_with("kubectl ")) {
                let ended = outcome(&mut self.command(hint)).await?;
                ensure!(ended.code == Some(0), "the hint {hint:?} of {line:?} does not work: {ended:?}");
            }
        }
        Ok(self.general(&text))
    }

    /// Replaces what differs from run to run.
    fn general(&self, text: &str) -> String {
        let folder = self.shop.cluster.folder().display().to_string();
        let text = text.replace(&folder, "FOLDER").replace(&self.shop.name, "shop");
        let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        text.lines().map(|line| without_times(line) + "\n").collect()
    }
}

/// Replaces times by TIME and ages by AGE. Columns then have another width, so their spaces are replaced too.
fn without_times(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut is_changed = false;
    for word in line.split(' ') {
        let shape: String = word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        let after_date = words.last().is_some_and(|last| last.ends_with("DATE"));
        let time = if let Some(at) = shape.find("0000-00-00T00:00:00") {
            let end = shape[at..].find(['"', ',', ')']).map_or(word.len(), |end| at + end);
            format!("{}TIME{}", &word[..at], &word[end..])
        } else if shape == "0000-00-00" {
            "DATE".to_owned()
        } else if after_date && shape.starts_with("00:00") {
            words.pop();
            format!("TIME{}", &word[5..])
        } else if word == "ago" || word.starts_with("ago,") || word.starts_with("ago)") {
            words.pop();
            format!("AGE {word}")
        } else if word.len() >= 10 && word.chars().all(|c| c.is_ascii_digit()) {
            // The number in the name of a CA.
            words.push("NUMBER".to_owned());
            continue;
        } else {
            words.push(word.to_owned());
            continue;
        };
        is_changed = true;
        words.push(time);
    }
    match is_changed {
        true => words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "),
        false => words.join(" "),
    }
}

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
            transcript += &shell.show(&line.replace("LONG", &"x".repeat(300))).await?.replace(&"x".repeat(300), "LONG");
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
