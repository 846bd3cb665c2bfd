//! The settings: flags, and environment variables of the same names.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, Subcommand, ValueEnum};

use crate::{
    admission::AdmissionArgs,
    check::CheckArgs,
    enforcement::OwnershipMode,
    leader::LeaseArgs,
    pki::{managed::ManagedArgs, signer::SignerArgs},
    runtime::pod::PodArgs,
    telemetry::LogFormat,
    tls::Files,
};

/// Keep Kubernetes replica counts where they were set
///
/// Watches ReplicaCount objects and their targets, puts counts back when they drift, and serves gRPC over mutual TLS.
/// Finds the API server through KUBECONFIG, or the service account of its pod.
#[derive(Clone, Debug, Parser)]
#[command(version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Args {
    /// Another task instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Address of the gRPC services; [::] listens on IPv4 as well
    #[arg(long, env, default_value = "[::]:8080", value_name = "IP:PORT")]
    pub(crate) grpc_address: SocketAddr,

    /// Address of /livez, /readyz and, without --metrics-address, /metrics, in plain HTTP
    #[arg(long, env, default_value = "[::]:8081", value_name = "IP:PORT")]
    pub(crate) http_address: SocketAddr,

    /// Address of /metrics over TLS, for bearer tokens of users who may get it; without it, the one in plain HTTP
    #[arg(long, env, value_name = "IP:PORT")]
    pub(crate) metrics_address: Option<SocketAddr>,

    /// The only namespace to watch and serve; empty means all
    #[arg(long, env, default_value = "", value_name = "NAME")]
    pub(crate) namespace: String,

    /// Log level: error, warn, info, debug or trace; or a filter, such as info,kube=debug. Audit lines have a level of their
    /// own: warn,audit=off leaves them out
    #[arg(long, env, default_value = "info", value_name = "LEVEL")]
    pub log_level: String,

    /// Format of the log
    #[arg(long, env, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// Source of the certificates
    #[arg(long, env, default_value = "files", value_name = "SOURCE")]
    pub(crate) certificates: CertificateSource,

    /// The server's certificate
    #[command(flatten)]
    pub files: Files,

    /// The certificates that the server manages
    #[command(flatten)]
    pub(crate) managed: ManagedArgs,

    /// The certificates of clients
    #[command(flatten)]
    pub(crate) signer: SignerArgs,

    /// The certificates of clients that are accepted
    #[command(flatten)]
    pub(crate) clients: ClientArgs,

    /// The pod that the server runs in
    #[command(flatten)]
    pub(crate) pod: PodArgs,

    /// The election of a leader
    #[command(flatten)]
    pub(crate) lease: LeaseArgs,

    /// The webhooks
    #[command(flatten)]
    pub(crate) admission: AdmissionArgs,

    /// Largest count to accept and enforce, in replicas
    #[arg(long, env, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) max_replicas: i32,

    /// Whether to give the ownership of a corrected count, which server-side apply tracks, back to its appliers
    #[arg(long, env, default_value = "giveBack", value_name = "MODE")]
    pub(crate) ownership: OwnershipMode,
}

/// Source of the certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CertificateSource {
    /// Files that others renew: --cert-file, --key-file and --ca-cert-file
    Files,
    /// A CA in a Secret that the server creates and renews
    Managed,
}

/// Which certificates of clients are accepted, and which of their names are believed.
#[derive(clap::Args, Clone, Debug)]
pub struct ClientArgs {
    /// Source of the CA of clients; without it, the source of the certificates
    #[arg(long, env, value_name = "SOURCE")]
    pub(crate) client_ca: Option<CertificateSource>,

    /// File with a time (RFC 3339), not in the future, before which no accepted certificate begins; an empty file means
    /// none
    #[arg(long, env, value_name = "FILE")]
    pub(crate) clients_not_before_file: Option<PathBuf>,

    /// Users of system: and groups of replica-count-manager: to believe if the CA of clients is not managed
    #[arg(long, env, value_delimiter = ',', default_value = "replica-count-manager:admins", value_name = "NAME,…")]
    pub(crate) reserved_names: Vec<String>,
}

/// Another task instead of serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Call a server over mutual TLS, and succeed if it serves
    Check(CheckArgs),
}

impl Args {
    /// The only namespace, if there is one.
    pub(crate) fn namespace(&self) -> Option<String> {
        Some(self.namespace.clone()).filter(|namespace| !namespace.is_empty())
    }
}
