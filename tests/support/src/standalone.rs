//! A second server with its own settings, which runs outside of Kubernetes with an administrator's rights.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use cluster::{ports, wait};
use tokio::process::{Child, Command};

use crate::{constants::PATIENCE, memory::Memory, namespace::Namespace, release, test_cluster::TestCluster};

/// A running server. It ends with this value.
pub struct StandaloneServer {
    /// The address of its gRPC services.
    pub grpc: String,
    /// The address of its probes and metrics.
    pub http: String,
    log: PathBuf,
    process: Child,
}

impl TestCluster {
    /// Starts a server with these flags.
    pub fn standalone(&self, flags: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<StandaloneServer> {
        self.start_standalone(self.command(release::program("replica-count-manager")?), flags)
    }

    /// Starts a server that finds the API server by a kubeconfig file of its own.
    pub fn standalone_with_kubeconfig(
        &self,
        kubeconfig: &Path,
        flags: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<StandaloneServer> {
        let mut server = self.command(release::program("replica-count-manager")?);
        server.env("KUBECONFIG", kubeconfig);
        self.start_standalone(server, flags)
    }

    /// As [`standalone_with_kubeconfig`](Self::standalone_with_kubeconfig), in a network namespace.
    pub fn standalone_in_network(
        &self,
        network: &str,
        kubeconfig: &Path,
        flags: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<StandaloneServer> {
        let mut server = self.command("ip");
        server.args(["netns", "exec", network]).arg(release::program("replica-count-manager")?);
        server.env("KUBECONFIG", kubeconfig);
        self.start_standalone(server, flags)
    }

    /// Starts a server with a limit of open files (`ulimit -n`).
    pub fn standalone_with_file_limit(
        &self,
        files: u32,
        flags: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<StandaloneServer> {
        let mut shell = self.command("/bin/sh");
        shell.args(["-c", r#"ulimit -n "$0" && exec "$@""#, &files.to_string()]);
        shell.arg(release::program("replica-count-manager")?);
        self.start_standalone(shell, flags)
    }

    fn start_standalone(
        &self,
        mut server: Command,
        flags: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<StandaloneServer> {
        let flags: Vec<_> = flags.into_iter().map(|flag| flag.as_ref().to_owned()).collect();
        // A server of all namespaces corrects the targets of other tests, whose own server then counts no drift.
        let is_chosen = flags.iter().any(|flag| flag.as_encoded_bytes().starts_with(b"--namespace="));
        ensure!(is_chosen, "a second server needs --namespace=; an empty one means all");
        let [grpc, http] = [ports::free()?, ports::free()?].map(|port| format!("127.0.0.1:{port}"));
        let log = self.folder().join(format!("standalone-{grpc}.log"));
        server.args([format!("--grpc-address={grpc}"), format!("--http-address={http}")]).args(flags);
        let process = server.stderr(File::create(&log)?).spawn()?;
        Ok(StandaloneServer { grpc, http, log, process })
    }
}

/// The server's certificate, its key and the CA in a folder that the certificates command made.
pub const CERTIFICATE_FILES: [&str; 3] = ["server/server.crt", "server/server.key", "ca/ca.crt"];

/// The flags of a server that manages one namespace. `files` are its certificate, key and CA in the folder.
pub fn server_flags(namespace: &Namespace<'_>, folder: &Path, files: [&str; 3]) -> [String; 4] {
    let [certificate, key, ca] = files.map(|file| folder.join(file).display().to_string());
    [
        format!("--namespace={}", namespace.name),
        format!("--cert-file={certificate}"),
        format!("--key-file={key}"),
        format!("--ca-cert-file={ca}"),
    ]
}

impl StandaloneServer {
    /// The server's log so far.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// Waits until the server listens.
    pub async fn wait_until_listening(&self) -> Result<()> {
        wait::until("the server", PATIENCE, async || {
            let log = self.log()?;
            ensure!(log.contains("listening"), "{log}");
            Ok(())
        })
        .await
    }

    /// The resident memory, in MiB.
    pub fn memory(&self) -> Result<u64> {
        Ok(self.read_memory()?.resident / 1024)
    }

    /// The highest resident memory so far, in MiB.
    pub fn peak_memory(&self) -> Result<u64> {
        Ok(self.read_memory()?.peak / 1024)
    }

    fn read_memory(&self) -> Result<Memory> {
        Memory::of(self.process.id().context("it has ended")?)
    }
}
