//! Ends a cluster when its owner ends, even if a signal kills the owner.
//!
//! A shell waits on a pipe that only the owner holds. When the owner ends, the kernel closes the pipe. The shell then
//! kills only the recorded processes, and removes the cluster's folder.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// It renames the folder of the records first, so that no process can start afterwards.
const STOP: &str = r#"#!/bin/sh
# Ends every process of the cluster in this folder and removes the folder.
{
    cd "$(dirname "$0")" && folder=$PWD && cd / || exit
    mv "$folder/run" "$folder/ended"
    for record in "$folder"/ended/*.pid; do
        read -r pid <"$record" && kill -s KILL -- "-$pid"
    done 2>/dev/null
    until rm -rf "$folder" 2>/dev/null; do sleep 0.1; done
    exit
}
"#;

/// It ignores the signals of a closing terminal, which must not end the reaper before its owner.
const WAIT: &str = r#"trap '' HUP INT TERM; read -r word; [ "$word" = detach ] || exec /bin/sh "$0""#;

/// The shell that waits for the end of the owner.
#[derive(Debug)]
pub(crate) struct Reaper {
    shell: Child,
    script: PathBuf,
}

impl Reaper {
    /// Writes the stop script into `folder` and starts to wait for the end of this process.
    pub(crate) fn watch(folder: &Path) -> Result<Self> {
        let script = folder.join("stop");
        fs::write(&script, STOP).with_context(|| format!("failed to write {}", script.display()))?;
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let shell = Command::new("/bin/sh")
            .args(["-c", WAIT])
            .arg(&script)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("failed to start the shell that ends the cluster")?;
        Ok(Self { shell, script })
    }

    /// Lets the cluster outlive its owner, and returns the script that ends it.
    pub(crate) fn detach(&mut self) -> Result<PathBuf> {
        if let Some(mut pipe) = self.shell.stdin.take() {
            pipe.write_all(b"detach\n").context("failed to detach the cluster")?;
        }
        self.shell.wait()?;
        Ok(self.script.clone())
    }
}

impl Drop for Reaper {
    /// Ends the cluster, and waits until its processes have ended.
    fn drop(&mut self) {
        // `wait` closes the pipe first. A failure cannot be reported here, and the shell does its work anyway.
        let _ = self.shell.wait();
    }
}
