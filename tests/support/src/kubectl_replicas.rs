//! The plugin, as kubectl runs it.

use std::ffi::OsString;

use anyhow::Result;
use tokio::process::Command;

use crate::test_cluster::TestCluster;

/// The result of a run of the plugin.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code, or `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl TestCluster {
    /// Prepares `kubectl replicas` with the test's client certificate.
    pub fn plugin(&self) -> Command {
        let mut kubectl = self.kubectl();
        kubectl.env("PATH", self.path_with_plugin()).env("KUBECTL_REPLICAS_CONFIG", self.plugin_config());
        // Never the log of the user who runs the tests.
        kubectl.env("KUBECTL_REPLICAS_STATE", self.folder().join("operations.json"));
        kubectl.arg("replicas");
        kubectl
    }

    /// Prepares a line of the plugin on a terminal of this many columns, with colours. The terminal is of `script`, which
    /// ends lines as terminals do. The line is for a shell, with variables before `kubectl`.
    pub fn on_terminal(&self, columns: u16, line: &str) -> Command {
        let plugin = self.plugin();
        let mut script = self.control_plane.command("script");
        let variables = plugin.as_std().get_envs().filter_map(|(name, value)| Some((name, value?)));
        script.envs(variables).env("TERM", "xterm-256color").env_remove("NO_COLOR");
        let line = format!("stty cols {columns} rows 24; {line}");
        script.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
        script
    }

    fn path_with_plugin(&self) -> OsString {
        let mut path = self.plugin_folder().as_os_str().to_owned();
        path.push(":");
        path.push(self.control_plane.path());
        path
    }
}

/// Runs the plugin, and returns its result even if it failed.
pub async fn outcome(plugin: &mut Command) -> Result<Outcome> {
    let output = plugin.output().await?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes);
    Ok(Outcome { code: output.status.code(), stdout: text(output.stdout)?, stderr: text(output.stderr)? })
}
