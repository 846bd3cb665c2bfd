//! Calls with the real grpcurl.

use std::fmt;

use anyhow::Result;
use cluster::run;
use serde_json::Value;

use super::{ROOT, World};

/// Why grpcurl's call failed.
#[derive(Debug)]
pub struct Refusal {
    /// The status code's name, such as `InvalidArgument`; empty if there was no answer at all.
    pub code: String,
    /// The status message, or what grpcurl says.
    pub message: String,
    /// Everything that grpcurl printed.
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

impl World {
    /// Calls a method with the test's certificate, by reflection.
    pub async fn grpcurl(&self, method: &str, request: &Value) -> Result<Value, Refusal> {
        let [ca, certificate, key] = self.client_files();
        self.grpcurl_with(&["-cacert", &ca, "-cert", &certificate, "-key", &key], method, request).await
    }

    /// Calls a method with other flags.
    pub async fn grpcurl_with(&self, flags: &[&str], method: &str, request: &Value) -> Result<Value, Refusal> {
        let mut grpcurl = self.cluster.grpcurl();
        grpcurl.args(["-connect-timeout", "20", "-max-time", "60", "-d", &request.to_string()]).args(flags);
        grpcurl.args([self.grpc_address(), method]).current_dir(ROOT);
        match run(&mut grpcurl).await {
            Ok(output) => Ok(serde_json::from_str(&output).unwrap_or_default()),
            Err(error) => Err(Refusal::parse(error.to_string())),
        }
    }
}
