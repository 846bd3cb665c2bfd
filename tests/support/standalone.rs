//! A server beside the one of the chart, with settings of its own and an administrator's rights.

use std::{fs::File, path::PathBuf};

use anyhow::Result;
use cluster::ports;
use tokio::process::Child;

use super::World;

/// A running server, which ends with this value.
pub(crate) struct Standalone {
    /// The address of its gRPC services.
    pub(crate) grpc: String,
    /// The address of its probes and metrics.
    pub(crate) http: String,
    log: PathBuf,
    _process: Child,
}

impl World {
    /// Starts a server with these flags.
    pub(crate) fn standalone(&self, flags: &[&str]) -> Result<Standalone> {
        let [grpc, http] = [ports::free()?, ports::free()?].map(|port| format!("127.0.0.1:{port}"));
        let log = self.cluster.folder().join(format!("standalone-{grpc}.log"));
        let mut server = self.cluster.command(env!("CARGO_BIN_EXE_replica-count-manager"));
        server.args([format!("--grpc-address={grpc}"), format!("--http-address={http}")]).args(flags);
        let process = server.stderr(File::create(&log)?).spawn()?;
        Ok(Standalone { grpc, http, log, _process: process })
    }
}

impl Standalone {
    /// What it has logged.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }
}
