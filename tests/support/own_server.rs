//! A server of a test's own, beside the one that the shared cluster has: with other certificates, or fewer means.

use std::{fs::File, path::Path, process::Stdio};

use anyhow::{Context, Result};
use cluster::wait;
use tokio::process::Child;

use super::{Namespace, PATIENCE};

/// A server that works in one namespace only, and so disturbs no other test. It ends when it is dropped.
pub(crate) struct OwnServer {
    /// Where it serves gRPC.
    pub(crate) address: String,
    _process: Child,
}

impl OwnServer {
    /// Starts a server with the files `server.crt`, `server.key` and `ca.crt` of a folder, which may open so many files.
    pub(crate) async fn start(namespace: &Namespace<'_>, files: &Path, descriptors: u32) -> Result<Self> {
        let log = namespace.world.cluster.folder().join(format!("{}-server.log", namespace.name));
        let output = File::create(&log)?;
        let mut server = namespace.world.cluster.command("/bin/sh");
        server.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &descriptors.to_string()]);
        server.arg(env!("CARGO_BIN_EXE_replica-count-manager")).args(["--namespace", &namespace.name]);
        server.args(["--grpc-address=127.0.0.1:0", "--http-address=127.0.0.1:0"]);
        for (flag, file) in [("--cert-file", "server.crt"), ("--key-file", "server.key"), ("--ca-cert-file", "ca.crt")]
        {
            server.arg(flag).arg(files.join(file));
        }
        server.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
        let process = server.spawn()?;
        let address = wait::until("the server's address", PATIENCE, async || {
            let log = std::fs::read_to_string(&log)?;
            let address = log.split_once("grpc=").and_then(|(_, rest)| rest.split_whitespace().next());
            address.map(str::to_owned).with_context(|| format!("it does not listen: {log}"))
        })
        .await?;
        Ok(Self { address, _process: process })
    }
}
