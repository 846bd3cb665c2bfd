//! Processes that end with their cluster. Each records its id for the reaper.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Records its own id, and then becomes the program. So the program never runs without a record, and cannot start after
/// the reaper has renamed the folder of the records.
const RECORD: &str = r#"echo $$ >"$0" && [ -e "$0" ] && exec "$@""#;

/// The file of a process's record.
pub(crate) fn record(run: &Path, name: &str) -> PathBuf {
    run.join(format!("{name}.pid"))
}

/// Prepares a program whose output is appended to `log`. It gets its own process group, so that Ctrl-C in a terminal
/// reaches only its owner.
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

/// Removes the record of an ended process, because another process may get the same id.
pub(crate) fn forget(record: &Path) -> Result<()> {
    match std::fs::remove_file(record) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("failed to remove a process's record"),
        _ => Ok(()),
    }
}

/// Sends SIGTERM only to the process, as a container runtime does, and other signals to the whole process group.
pub(crate) fn signal(pid: u32, signal: Signal) -> Result<()> {
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw).with_context(|| format!("{pid} is no process id"))?;
    match signal {
        Signal::TERM => kill_process(id, signal),
        _ => kill_process_group(id, signal),
    }
    .with_context(|| format!("failed to send {signal:?} to process {pid}"))
}
