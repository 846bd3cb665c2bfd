//! A server beside the one of the chart, with settings of its own and an administrator's rights.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use cluster::{ports, wait};
use tokio::process::{Child, Command};

use super::{Memory, Namespace, PATIENCE, World, release};

/// A running server, which ends with this value.
pub struct Standalone {
    /// The address of its gRPC services.
    pub grpc: String,
    /// The address of its probes and metrics.
    pub http: String,
    log: PathBuf,
    process: Child,
}

impl World {
    /// Starts a server with these flags.
    pub fn standalone(&self, flags: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Standalone> {
        self.start_standalone(self.cluster.command(release::program("replica-count-manager")?), flags)
    }

    /// Starts a server that may open so many files.
    pub fn standalone_of(&self, files: u32, flags: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Standalone> {
        let mut shell = self.cluster.command("/bin/sh");
        shell.args(["-c", r#"ulimit -n "$0" && exec "$@""#, &files.to_string()]);
        shell.arg(release::program("replica-count-manager")?);
        self.start_standalone(shell, flags)
    }

    fn start_standalone(
        &self,
        mut server: Command,
        flags: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Standalone> {
        let [grpc, http] = [ports::free()?, ports::free()?].map(|port| format!("127.0.0.1:{port}"));
        let log = self.cluster.folder().join(format!("standalone-{grpc}.log"));
        server.args([format!("--grpc-address={grpc}"), format!("--http-address={http}")]).args(flags);
        let process = server.stderr(File::create(&log)?).spawn()?;
        Ok(Standalone { grpc, http, log, process })
    }
}

/// The server's certificate, its key and the CA, in a folder that the certificates command made.
pub const FILES: [&str; 3] = ["server/server.crt", "server/server.key", "ca/ca.crt"];

/// The flags for a server of one namespace with the certificate, the key and the CA in these files of a folder.
pub fn server_flags(namespace: &Namespace<'_>, folder: &Path, files: [&str; 3]) -> [String; 4] {
    let [certificate, key, ca] = files.map(|file| folder.join(file).display().to_string());
    [
        format!("--namespace={}", namespace.name),
        format!("--cert-file={certificate}"),
        format!("--key-file={key}"),
        format!("--ca-cert-file={ca}"),
    ]
}

impl Standalone {
    /// What it has logged.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// Waits until it listens.
    pub async fn listens(&self) -> Result<()> {
        wait::until("the server", PATIENCE, async || {
            let log = self.log()?;
            ensure!(log.contains("listening"), "{log}");
            Ok(())
        })
        .await
    }

    /// The memory that it has in use, in MiB.
    pub fn memory(&self) -> Result<u64> {
        Ok(Memory::of(self.process.id().context("it has ended")?)?.resident / 1024)
    }
}
