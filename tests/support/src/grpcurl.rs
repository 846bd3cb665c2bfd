//! Calls by grpcurl.

use std::fmt;

use anyhow::{Context, Result};
use cluster::run;
use serde_json::Value;

use crate::{constants::ROOT, test_cluster::TestCluster};

/// The error of a call by grpcurl.
#[derive(Debug)]
pub struct Refusal {
    /// The status code's name, such as `InvalidArgument`. It is empty if the server did not answer.
    pub code: String,
    /// The status message.
    pub message: String,
    /// Grpcurl's whole output.
    pub output: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.code, self.message, self.output)
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    fn parse(output: String) -> Self {
        let field = |name: &str| {
            let line = output.lines().find_map(|line| line.trim().strip_prefix(name));
            line.unwrap_or_default().trim().to_owned()
        };
        Self { code: field("Code:"), message: field("Message:"), output }
    }
}

/// The call in docs/programs.md, in one line.
///
/// # Errors
///
/// If the page has none.
pub fn documented_call() -> Result<String> {
    let page = std::fs::read_to_string(format!("{ROOT}/docs/programs.md"))?;
    let (_, call) = page.split_once("\ngrpcurl ").context("there is no call")?;
    let (call, _) = call.split_once("\n```").context("the call has no end")?;
    Ok(format!("grpcurl {}", call.replace("\\\n  ", "")))
}

impl TestCluster {
    /// Calls a method by reflection, with the test's client certificate.
    pub async fn grpcurl(&self, method: &str, request: &Value) -> Result<Value, Refusal> {
        let [ca, certificate, key] = self.client_files();
        self.grpcurl_with(&["-cacert", &ca, "-cert", &certificate, "-key", &key], method, request).await
    }

    /// Calls a method with other flags of grpcurl.
    pub async fn grpcurl_with(&self, flags: &[&str], method: &str, request: &Value) -> Result<Value, Refusal> {
        let mut grpcurl = self.control_plane.grpcurl();
        grpcurl.args(["-connect-timeout", "20", "-max-time", "60", "-d", &request.to_string()]).args(flags);
        grpcurl.args([self.grpc_address(), method]).current_dir(ROOT);
        match run(&mut grpcurl).await {
            Ok(output) => Ok(serde_json::from_str(&output).unwrap_or_default()),
            Err(error) => Err(Refusal::parse(error.to_string())),
        }
    }
}
