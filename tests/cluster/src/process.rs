//! Processes that end with their cluster: each records its id where the reaper finds it.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Writes its own id, then becomes the program. The program so never runs unrecorded, and cannot start at all once
/// the reaper has taken the folder of the records away.
const RECORD: &str = r#"echo $$ >"$0" && [ -e "$0" ] && exec "$@""#;

/// Where the process called `name` records its id.
pub(crate) fn record(run: &Path, name: &str) -> PathBuf {
    run.join(format!("{name}.pid"))
}

/// Prepares `program` in a process group of its own, so that a terminal's Ctrl-C reaches its owner alone, with its
/// output appended to `log`.
pub(crate) fn command(program: &Path, record: &Path, log: &Path) -> Result<Command> {
    let output = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("failed to open the log {}", log.display()))?;
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(RECORD).arg(record).arg(program);
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
    Ok(command)
}

/// Removes the record of a process that has been waited for: its id may soon be another's.
pub(crate) fn forget(record: &Path) -> Result<()> {
    match std::fs::remove_file(record) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("failed to remove a process's record"),
        _ => Ok(()),
    }
}

/// Sends SIGTERM to the process alone, as a container runtime does; any other signal to its whole group.
pub(crate) fn signal(pid: u32, signal: Signal) -> Result<()> {
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw).with_context(|| format!("{pid} is no process id"))?;
    match signal {
        Signal::TERM => kill_process(id, signal),
        _ => kill_process_group(id, signal),
    }
    .with_context(|| format!("failed to send {signal:?} to process {pid}"))
}
