//! Runs commands, with errors that show their output.

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// Runs a command, and returns its standard output.
///
/// # Errors
///
/// If the command does not start or fails. The error shows the command line, the exit status and both outputs.
pub async fn run(command: &mut Command) -> Result<String> {
    let line = line(command);
    let output = command.output().await.with_context(|| format!("failed to run {line}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{line} ended with {}\n--- stdout\n{stdout}\n--- stderr\n{stderr}", output.status);
    Ok(stdout)
}

/// The program and its arguments. The environment is left out, because it is long.
fn line(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_shows_command_line_status_and_outputs() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]).env("SECRET", "hidden");
        let message = run(&mut command).await.map_err(|error| error.to_string()).unwrap_err();
        assert_eq!(
            message,
            "/bin/sh -c echo out; echo err >&2; exit 3 ended with exit status: 3\n--- stdout\nout\n\n--- stderr\nerr\n"
        );
    }
}
