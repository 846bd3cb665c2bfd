//! The settings: flags, and environment variables of the same names.

use std::{net::SocketAddr, path::PathBuf};

use clap::Parser;

use crate::{controller::OwnershipMode, tls::Files};

/// Keep Kubernetes replica counts where they were set
///
/// Watches ReplicaCount objects and their targets, puts counts back when they drift, and serves gRPC over mutual TLS.
/// Finds the API server through KUBECONFIG, or the service account of its pod.
#[derive(Clone, Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Args {
    /// Address of the gRPC services; [::] listens on IPv4 as well
    #[arg(long, env, default_value = "[::]:8080", value_name = "IP:PORT")]
    pub grpc_address: SocketAddr,

    /// Address of /livez, /readyz and /metrics, in plain HTTP
    #[arg(long, env, default_value = "[::]:8081", value_name = "IP:PORT")]
    pub http_address: SocketAddr,

    /// The only namespace to watch and serve; empty means all
    #[arg(long, env, default_value = "", value_name = "NAME")]
    pub namespace: String,

    /// Log level: error, warn, info, debug, trace
    #[arg(long, env, default_value = "info", value_name = "LEVEL")]
    pub log_level: String,

    /// Server certificate chain, PEM
    #[arg(long, env, value_name = "FILE")]
    pub cert_file: PathBuf,

    /// Private key of the server certificate, PEM
    #[arg(long, env, value_name = "FILE")]
    pub key_file: PathBuf,

    /// Certificates of the authorities whose clients are let in, PEM
    #[arg(long, env, value_name = "FILE")]
    pub ca_cert_file: PathBuf,

    /// Largest count to accept and enforce, in replicas
    #[arg(long, env, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub max_replicas: i32,

    /// What becomes of the ownership of a count that was put back, as server-side apply tracks it
    #[arg(long, env, default_value = "giveBack", value_name = "MODE")]
    pub ownership: OwnershipMode,
}

impl Args {
    /// The files of the server's certificate.
    pub fn certificate(&self) -> Files {
        Files { certificate: self.cert_file.clone(), key: self.key_file.clone(), ca: self.ca_cert_file.clone() }
    }

    /// The only namespace, if there is one.
    pub fn namespace(&self) -> Option<String> {
        Some(self.namespace.clone()).filter(|namespace| !namespace.is_empty())
    }
}
