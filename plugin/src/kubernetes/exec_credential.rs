//! The credential program of a kubeconfig's user, such as `aws eks get-token`.
//!
//! kube would run the program three times to build one client. This module runs it once, and puts its credentials where
//! kube looks first.

use std::{
    io,
    process::{Command, ExitStatus, Stdio},
};

use k8s_openapi::ByteString;
use kube::config::{AuthInfo, ExecAuthCluster, ExecConfig, ExecInteractiveMode};
use serde::{Deserialize, Serialize};

use crate::yaml::Mistake;

/// Why the credential program gave no credentials.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the kubeconfig's user names no credential program")]
    NoCommand,
    #[error("failed to describe the cluster to the credential program {command:?}")]
    Describe { command: String, source: serde_json::Error },
    #[error("failed to start the credential program {command:?}")]
    Start { command: String, install: Option<String>, source: io::Error },
    #[error("the credential program {command:?} ended with {status}{}", after_colon(stderr))]
    Ended { command: String, status: ExitStatus, stderr: String },
    #[error("the output of the credential program {command:?} is not an ExecCredential")]
    Output { command: String, source: Mistake },
    #[error("the credential program {command:?} gave neither a token nor a certificate")]
    Empty { command: String },
}

impl Error {
    /// What the user can do.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Start { install: Some(install), .. } => Some(install.trim().to_owned()),
            _ => Some("kubectl runs the same program: `kubectl auth whoami` must work".to_owned()),
        }
    }
}

fn after_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// The request to a program, and its answer.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential {
    api_version: Option<String>,
    kind: Option<String>,
    #[serde(skip_deserializing)]
    spec: Option<Spec>,
    #[serde(skip_serializing)]
    status: Option<Status>,
}

#[derive(Serialize)]
struct Spec {
    interactive: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<ExecAuthCluster>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// Replaces the user's credential program, if there is one, by the credentials that it returns.
pub(super) fn log_in(user: &mut AuthInfo) -> Result<(), Error> {
    // kube prefers these too, and then does not run the program.
    if user.token.is_some() || user.token_file.is_some() || user.password.is_some() || user.auth_provider.is_some() {
        return Ok(());
    }
    let Some(exec) = user.exec.take() else { return Ok(()) };
    let command = exec.command.clone().ok_or(Error::NoCommand)?;
    let status = run(&exec, &command)?;
    match (status.token, status.client_certificate_data, status.client_key_data) {
        (token, Some(certificate), Some(key)) => {
            user.token = token.map(Into::into);
            user.client_certificate_data = Some(base64(certificate));
            user.client_key_data = Some(base64(key).into());
        }
        (Some(token), ..) => user.token = Some(token.into()),
        _ => return Err(Error::Empty { command }),
    }
    Ok(())
}

/// Encodes PEM for a kubeconfig, which holds it in base64.
fn base64(pem: String) -> String {
    match serde_json::to_value(ByteString(pem.into_bytes())) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

fn run(exec: &ExecConfig, name: &str) -> Result<Status, Error> {
    let command = name.to_owned();
    let interactive = exec.interactive_mode != Some(ExecInteractiveMode::Never);
    let request = ExecCredential {
        api_version: exec.api_version.clone(),
        kind: Some("ExecCredential".to_owned()),
        spec: Some(Spec { interactive, cluster: exec.cluster.clone() }),
        status: None,
    };
    let request = match serde_json::to_string(&request) {
        Ok(request) => request,
        Err(source) => return Err(Error::Describe { command, source }),
    };
    let variables = exec.env.iter().flatten().filter_map(|env| Some((env.get("name")?, env.get("value")?)));
    let output = Command::new(name)
        .args(exec.args.iter().flatten())
        .envs(variables)
        .env("KUBERNETES_EXEC_INFO", request)
        .stdin(if interactive { Stdio::inherit() } else { Stdio::null() })
        .stderr(if interactive { Stdio::inherit() } else { Stdio::piped() })
        .output();
    let output = match output {
        Ok(output) => output,
        Err(source) => return Err(Error::Start { command, install: exec.install_hint.clone(), source }),
    };
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::Ended { command, status: output.status, stderr });
    }
    parse(command, &output.stdout)
}

fn parse(command: String, output: &[u8]) -> Result<Status, Error> {
    match serde_yaml::from_slice::<ExecCredential>(output) {
        Ok(credential) => credential.status.ok_or(Error::Empty { command }),
        Err(error) => Err(Error::Output { command, source: Mistake::from(&error) }),
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::{error::explain, kubernetes::kubeconfig};

    fn user(script: &str) -> AuthInfo {
        let exec = serde_json::json!({
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "sh",
            "args": ["-c", script],
            "env": [{"name": "WHO", "value": "alice"}],
            "interactiveMode": "Never",
            "installHint": "install sh",
        });
        AuthInfo { exec: Some(serde_json::from_value(exec).unwrap()), ..AuthInfo::default() }
    }

    #[test]
    fn the_token_replaces_the_program() {
        let mut user = user(r#"echo "{\"status\": {\"token\": \"$WHO\"}}""#);
        log_in(&mut user).unwrap();
        assert!(user.exec.is_none() && user.token.is_some());
    }

    #[test]
    fn the_program_receives_the_request() {
        let mut user =
            user(r#"echo "$KUBERNETES_EXEC_INFO" | grep -q '"kind":"ExecCredential"' && echo "status: {token: t}""#);
        log_in(&mut user).unwrap();
    }

    #[test]
    fn a_certificate_is_stored_as_in_a_kubeconfig() {
        let mut user = user("echo 'status: {clientCertificateData: PEM, clientKeyData: KEY}'");
        log_in(&mut user).unwrap();
        assert_eq!(user.client_certificate_data.as_deref(), Some("UEVN"));
    }

    #[test]
    fn the_error_of_a_program_has_its_name_and_message() {
        let error = log_in(&mut user("echo no session >&2; exit 3")).unwrap_err();
        assert_eq!(error.to_string(), "the credential program \"sh\" ended with exit status: 3: no session");
        assert!(matches!(log_in(&mut user("echo '{}'")), Err(Error::Empty { .. })));
        assert!(matches!(log_in(&mut user("echo '['")), Err(Error::Output { .. })));
    }

    #[test]
    fn the_output_of_a_program_is_not_shown() {
        for wrong in ["s3cret", "[s3cret", "status: s3cret", "{status: {token: [s3cret]}}", "status: {token: s3cret"] {
            let error = kubeconfig::Error::from(log_in(&mut user(&format!("echo '{wrong}'"))).unwrap_err());
            let error = crate::error::Error::from(crate::kubernetes::Error::from(error));
            let text = explain("error", &error);
            assert!(text.contains("line 1") && !text.contains("s3cret"), "{text}");
        }
    }
}
