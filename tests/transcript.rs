//! Commands of a user, and what a terminal would show of them.

use std::io;

use anyhow::{Context, Result, ensure};
use tokio::{process::Command, task::spawn_blocking};

use support::{Namespace, User, outcome};

/// A user's shell.
pub(crate) struct Shell<'a> {
    pub(crate) user: User<'a>,
    pub(crate) shop: Namespace<'a>,
}

impl Shell<'_> {
    /// Prepares a command line without quotes.
    pub(crate) fn command(&self, line: &str) -> Command {
        let words: Vec<_> = line.split_whitespace().collect();
        let mut command = match words.as_slice() {
            ["kubectl", "replicas", words @ ..] => return self.user.plugin(words),
            ["helm", ..] => self.shop.cluster.helm(),
            _ => self.shop.cluster.kubectl(),
        };
        command.env("KUBECONFIG", &self.user.kubeconfig).args(words.get(1..).unwrap_or_default());
        command
    }

    /// Runs a command, and returns what a person would see of it. Hints that are commands are run, and must work.
    pub(crate) async fn show(&self, line: &str) -> Result<String> {
        let (code, output) = output(self.command(line)).await?;
        let mut text = format!("$ {line}\n{output}");
        if code != 0 {
            text += &format!("({code})\n");
        }
        for hint in output.lines().filter_map(|line| line.strip_prefix("hint: ")) {
            // Every second part is between backticks.
            for hint in hint.split('`').skip(1).step_by(2).filter(|part| part.starts_with("kubectl ")) {
                let ended = outcome(&mut self.command(hint)).await?;
                ensure!(ended.code == Some(0), "the hint {hint:?} of {line:?} does not work: {ended:?}");
            }
        }
        Ok(self.without_names(&text))
    }

    /// Replaces the names of this run.
    fn without_names(&self, text: &str) -> String {
        let folder = self.shop.cluster.folder().display().to_string();
        text.replace(&folder, "FOLDER").replace(&self.shop.name, "shop")
    }
}

/// Runs a command with one pipe for both outputs, so that they have the order that a terminal would show.
async fn output(mut command: Command) -> Result<(i32, String)> {
    let (mut reader, writer) = io::pipe()?;
    let mut child = command.stdout(writer.try_clone()?).stderr(writer).spawn()?;
    // It holds the other end of the pipe.
    drop(command);
    let read = spawn_blocking(move || io::read_to_string(&mut reader));
    let code = child.wait().await?.code().context("a signal ended it")?;
    Ok((code, read.await??))
}

/// Replaces what differs from run to run: times, ages, numbers of certificates, the version.
pub(crate) fn general(text: &str) -> String {
    text.replace(env!("CARGO_PKG_VERSION"), "VERSION").lines().map(|line| without_times(line) + "\n").collect()
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
        } else if word.strip_prefix("ago").is_some_and(|rest| rest.len() <= 1) {
            words.pop();
            format!("AGE {word}")
        } else if let Some(rest) = shape.trim_start_matches('0').strip_prefix("m)")
            && words.last().is_some_and(|last| last == "(in")
        {
            // The minutes that are left until the end of an override.
            format!("MINUTES){rest}")
        } else if shape.ends_with("ms") && shape.trim_start_matches('0') == "ms" {
            "MILLISECONDS".to_owned()
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
