//! The credential program of a kubeconfig's user, such as `aws eks get-token`.
//!
//! It runs once for each command, as client-go runs it: it gets the terminal only if there is one, so that it cannot
//! read the lines of a shell's loop, and its messages are shown at once.

use std::{
    env,
    io::{self, IsTerminal, Read},
    path::{MAIN_SEPARATOR, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kubeconfig::entries::Exec;
use crate::{terminal, yaml::Mistake};

/// The kind of what a program gets and answers.
const KIND: &str = "ExecCredential";

/// The most output of a silent program that is read: many times a token or a certificate.
const MAX_OUTPUT: u64 = 1 << 20;

/// How often the end of a silent program is looked for, after it has closed its output.
const POLL: Duration = Duration::from_millis(1);

/// Why the credential program gave no credentials.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the credential program {command:?} asks questions (interactiveMode Always), and stdin is not a terminal")]
    NoTerminal { command: String },
    #[error("the credential program {command:?} asks questions (interactiveMode Always), and several run at once")]
    OneOfSeveral { command: String },
    #[error("failed to describe the cluster to the credential program {command:?}")]
    Describe { command: String, source: serde_json::Error },
    #[error("failed to start the credential program {command:?}")]
    Start { command: String, install: String, source: io::Error },
    #[error("the credential program {command:?} ended with {status}")]
    Ended { command: String, status: ExitStatus },
    #[error("the output of the credential program {command:?} is not an ExecCredential")]
    Output { command: String, source: Mistake },
    #[error(
        "the output of the credential program {command:?} is no ExecCredential of {expected}, which the kubeconfig names"
    )]
    Version { command: String, expected: String },
    #[error("the credential program {command:?} gave neither a token nor a certificate with its key")]
    Empty { command: String },
}

impl Error {
    /// What the user can do.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Start { install, .. } if !install.trim().is_empty() => Some(terminal::lines(install.trim())),
            Self::OneOfSeveral { .. } => Some("ask this cluster alone, with --context".to_owned()),
            Self::NoTerminal { .. } => Some("run the command in a terminal, without a pipe into it".to_owned()),
            _ => Some("kubectl runs the same program: `kubectl auth whoami` must work".to_owned()),
        }
    }
}

/// The request to a program.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    kind: &'static str,
    api_version: &'a str,
    spec: Spec,
}

#[derive(Serialize)]
struct Spec {
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<ClusterInfo>,
    interactive: bool,
}

/// What a program learns of the cluster.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ClusterInfo {
    pub(super) server: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) tls_server_name: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) insecure_skip_tls_verify: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate_authority_data: Option<ByteString>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) proxy_url: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) disable_compression: bool,
    pub(super) config: Value,
}

/// The answer of a program.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    api_version: String,
    kind: String,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    /// It is only checked, since a command ends before its credentials do.
    #[serde(rename = "expirationTimestamp")]
    _expiration: Option<Timestamp>,
}

/// What a program returned.
pub(super) struct Credentials {
    pub(super) token: Option<String>,
    /// The certificate and its key, in PEM.
    pub(super) pair: Option<(String, String)>,
}

/// How a program may behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manners {
    /// It gets the terminal, if there is one, and its messages are shown.
    Open,
    /// It gets no terminal, since several programs run at once. Its messages are shown.
    NoQuestions,
    /// It gets no terminal, its messages are not shown, and it is ended after this time.
    Silent(Duration),
}

/// Runs the program and reads its credentials.
pub(super) fn run(exec: &Exec, cluster: Option<ClusterInfo>, manners: Manners) -> Result<Credentials, Error> {
    if manners == Manners::NoQuestions && exec.mode() == "Always" {
        return Err(Error::OneOfSeveral { command: exec.command.clone() });
    }
    run_with(exec, cluster, manners, manners == Manners::Open && io::stdin().is_terminal())
}

fn run_with(
    exec: &Exec,
    cluster: Option<ClusterInfo>,
    manners: Manners,
    has_terminal: bool,
) -> Result<Credentials, Error> {
    let command = exec.command.clone();
    let interactive = match exec.mode() {
        "Always" if !has_terminal => return Err(Error::NoTerminal { command }),
        "Never" => false,
        _ => has_terminal,
    };
    let request = Request { kind: KIND, api_version: &exec.api_version, spec: Spec { cluster, interactive } };
    let request = match serde_json::to_string(&request) {
        Ok(request) => request,
        Err(source) => return Err(Error::Describe { command, source }),
    };
    let mut program = Command::new(find(exec));
    program
        .args(&exec.args)
        .envs(exec.env.iter().map(|variable| (&variable.name, &variable.value)))
        .env("KUBERNETES_EXEC_INFO", request)
        .stdin(if interactive { Stdio::inherit() } else { Stdio::null() });
    let output = match manners {
        Manners::Open | Manners::NoQuestions => program.stderr(Stdio::inherit()).output(),
        Manners::Silent(limit) => output_within(program.stdout(Stdio::piped()).stderr(Stdio::null()), limit),
    };
    let output = match output {
        Ok(output) => output,
        Err(source) => return Err(Error::Start { command, install: exec.install_hint.clone(), source }),
    };
    if !output.status.success() {
        return Err(Error::Ended { command, status: output.status });
    }
    parse(&output.stdout, command, &exec.api_version)
}

/// Runs a program to its end, and ends it after the limit.
fn output_within(program: &mut Command, limit: Duration) -> io::Result<Output> {
    let end = Instant::now() + limit;
    let mut child = program.spawn()?;
    let stdout = child.stdout.take();
    let (sender, receiver) = mpsc::channel();
    // A descendant of the program may keep the output open, so this thread may only end with the process.
    thread::spawn(move || {
        let mut output = Vec::new();
        let read = stdout.map_or(Ok(0), |stdout| stdout.take(MAX_OUTPUT).read_to_end(&mut output));
        sender.send(read.map(|_| output))
    });
    let stdout = receiver.recv_timeout(limit);
    while child.try_wait()?.is_none() && stdout.is_ok() && Instant::now() < end {
        thread::sleep(POLL);
    }
    match (child.try_wait()?, stdout) {
        (Some(status), Ok(stdout)) => Ok(Output { status, stdout: stdout?, stderr: Vec::new() }),
        _ => {
            child.kill().and_then(|()| child.wait())?;
            Err(io::ErrorKind::TimedOut.into())
        }
    }
}

/// Finds a program in this process's PATH, as Go does, if the kubeconfig gives the program another one.
fn find(exec: &Exec) -> PathBuf {
    let name = PathBuf::from(&exec.command);
    let has_own_path = exec.env.iter().any(|variable| variable.name == "PATH");
    if !has_own_path || exec.command.contains(MAIN_SEPARATOR) {
        return name;
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).map(|folder| folder.join(&name)).find(|path| path.is_file()).unwrap_or(name)
}

fn parse(output: &[u8], command: String, api_version: &str) -> Result<Credentials, Error> {
    let options = serde_yaml::options! { no_schema: true };
    let answer: Answer = match serde_yaml::from_slice_with_options(output, options) {
        Ok(answer) => answer,
        Err(error) => return Err(Error::Output { command, source: Mistake::from(&error) }),
    };
    // As in client-go, the kind may be absent, and the version may not.
    if !(answer.kind.is_empty() || answer.kind == KIND) || answer.api_version != api_version {
        return Err(Error::Version { command, expected: api_version.to_owned() });
    }
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let status = answer.status.unwrap_or_default();
    match (given(status.token), given(status.client_certificate_data), given(status.client_key_data)) {
        (token @ Some(_), None, None) => Ok(Credentials { token, pair: None }),
        (token, Some(certificate), Some(key)) => Ok(Credentials { token, pair: Some((certificate, key)) }),
        _ => Err(Error::Empty { command }),
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::{error::explain, kubernetes::kubeconfig};

    const VERSION: &str = "client.authentication.k8s.io/v1";

    fn program(script: &str) -> Exec {
        let exec = serde_json::json!({
            "apiVersion": VERSION,
            "command": "sh",
            "args": ["-c", script],
            "env": [{"name": "WHO", "value": "alice"}],
            "interactiveMode": "Never",
            "installHint": "install sh",
        });
        serde_json::from_value(exec).unwrap()
    }

    fn open(exec: &Exec) -> Result<Credentials, Error> {
        run(exec, None, Manners::Open)
    }

    /// A program that answers with this status.
    fn answer(status: &str) -> Exec {
        program(&format!("printf '%s' 'apiVersion: {VERSION}\nkind: ExecCredential\nstatus: {status}'"))
    }

    #[test]
    fn the_token_replaces_the_program() {
        let script =
            r#"echo "{\"apiVersion\": \"$V\", \"kind\": \"ExecCredential\", \"status\": {\"token\": \"$WHO\"}}""#;
        let credentials = open(&program(&format!("V={VERSION}; {script}"))).unwrap();
        assert_eq!((credentials.token.as_deref(), credentials.pair), (Some("alice"), None));
    }

    #[test]
    fn the_program_receives_the_request() {
        let mut exec = answer("{token: t}");
        exec.args[1] =
            format!(r#"echo "$KUBERNETES_EXEC_INFO" | grep -q '"kind":"ExecCredential"' && {}"#, exec.args[1]);
        open(&exec).unwrap();
    }

    #[test]
    fn a_program_gets_the_terminal_only_if_there_is_one_and_it_wants_it() {
        for (mode, has_terminal, expected) in [
            ("Never", true, Some(false)),
            ("IfAvailable", true, Some(true)),
            ("IfAvailable", false, Some(false)),
            ("Always", true, Some(true)),
            ("Always", false, None),
        ] {
            let mut exec = answer("{token: t}");
            exec.interactive_mode = mode.to_owned();
            let wanted = format!(r#"'"interactive":{}'"#, expected.unwrap_or_default());
            exec.args[1] = format!(r#"echo "$KUBERNETES_EXEC_INFO" | grep -q {wanted} && {}"#, exec.args[1]);
            assert_eq!(
                run_with(&exec, None, Manners::Open, has_terminal).is_ok(),
                expected.is_some(),
                "{mode} {has_terminal}"
            );
        }
    }

    #[test]
    fn a_silent_program_has_no_terminal_and_a_limit() {
        let long = Duration::from_secs(60);
        let silent = |exec: &Exec, limit| run(exec, None, Manners::Silent(limit));
        assert_eq!(silent(&answer("{token: t}"), long).unwrap().token.as_deref(), Some("t"));
        assert!(matches!(silent(&program("exit 3"), long), Err(Error::Ended { .. })));
        let asking = Exec { interactive_mode: "Always".to_owned(), ..answer("{token: t}") };
        assert!(matches!(silent(&asking, long), Err(Error::NoTerminal { .. })));
        for hanging in ["exec sleep 30", "exec >&-; exec sleep 30", "sleep 30 & wait"] {
            let start = Instant::now();
            let error = silent(&program(hanging), Duration::from_millis(50)).err().unwrap();
            let is_timeout = matches!(&error, Error::Start { source, .. } if source.kind() == io::ErrorKind::TimedOut);
            assert!(is_timeout && start.elapsed() < Duration::from_secs(20), "{hanging}: {error}");
        }
    }

    #[test]
    fn one_of_several_programs_cannot_ask() {
        let mut exec = answer("{token: t}");
        exec.interactive_mode = "IfAvailable".to_owned();
        exec.args[1] = format!(r#"echo "$KUBERNETES_EXEC_INFO" | grep -q '"interactive":false' && {}"#, exec.args[1]);
        assert!(run(&exec, None, Manners::NoQuestions).is_ok());
        exec.interactive_mode = "Always".to_owned();
        assert!(matches!(run(&exec, None, Manners::NoQuestions), Err(Error::OneOfSeveral { .. })));
    }

    #[test]
    fn a_certificate_comes_with_its_key() {
        let credentials = open(&answer("{clientCertificateData: PEM, clientKeyData: KEY}")).unwrap();
        assert_eq!(credentials.pair, Some(("PEM".to_owned(), "KEY".to_owned())));
        assert!(matches!(open(&answer("{token: t, clientKeyData: KEY}")), Err(Error::Empty { .. })));
    }

    #[test]
    fn the_error_of_a_program_has_its_name() {
        let error = open(&program("exit 3")).err().unwrap();
        assert_eq!(error.to_string(), "the credential program \"sh\" ended with exit status: 3");
        assert!(matches!(open(&answer("{}")), Err(Error::Empty { .. })));
        assert!(matches!(open(&program("echo '{}'")), Err(Error::Version { .. })));
        assert!(matches!(open(&program("echo '['")), Err(Error::Output { .. })));
        let missing = Exec { command: "no-such-program".to_owned(), ..program("") };
        assert_eq!(open(&missing).err().unwrap().hint().as_deref(), Some("install sh"));
    }

    #[test]
    fn the_output_of_a_program_is_not_shown() {
        for wrong in ["s3cret", "[s3cret", "status: s3cret", "{status: {token: [s3cret]}}", "status: {token: s3cret"] {
            let error = open(&program(&format!("echo '{wrong}'"))).err().unwrap();
            let error = crate::error::Error::from(crate::kubernetes::Error::from(kubeconfig::Error::from(error)));
            let text = explain("error", &error);
            assert!(text.contains("line 1") && !text.contains("s3cret"), "{text}");
        }
    }
}
