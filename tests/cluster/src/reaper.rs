//! Ends a cluster when its owner ends, however that comes about.
//!
//! A shell waits on a pipe that only the owner holds. The kernel closes the pipe with the owner, SIGKILL included;
//! the shell then kills the recorded processes, and no others, and removes the cluster's folder.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Renaming the folder of the records first keeps a process that is being started from coming to life afterwards.
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

/// Signals of a closing terminal must not end the reaper before its owner.
const WAIT: &str = r#"trap '' HUP INT TERM; read -r word; [ "$word" = detach ] || exec /bin/sh "$0""#;

/// The shell that waits for the owner's end.
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
    /// Ends the cluster now, and returns when it is gone.
    fn drop(&mut self) {
        // `wait` closes the pipe first. There is nobody to tell of a failure, and the shell does its work regardless.
        let _ = self.shell.wait();
    }
}
