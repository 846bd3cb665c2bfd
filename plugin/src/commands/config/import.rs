//! `kubectl replicas config import`.

use std::path::PathBuf;

use clap::Args;

use crate::{
    args::ConnectionArgs,
    config,
    credentials::{self, ImportSource, Imported},
    error::Error,
    kubernetes::Cluster,
    output,
    program::in_text,
    time::local,
};

const EXAMPLES: &str = "\
Examples:
  # Import a certificate from files
  kubectl replicas config import --client-certificate client.crt --client-key client.key \\
    --certificate-authority ca.crt

  # Import one from the Secret alice of the namespace shop
  kubectl replicas config import --from-secret alice --namespace shop";

/// Import a client certificate from files or from a Secret, and use it with this context
///
/// If login is not available, ask an administrator for a certificate. The certificate is validated and copied into the
/// configuration file; you can delete the files. It is not renewed: import a new one before it expires.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES))]
pub(super) struct ImportArgs {
    /// Import the client certificate from this file
    #[arg(long, value_name = "FILE", required_unless_present = "from_secret")]
    client_certificate: Option<PathBuf>,
    /// Import its key from this file
    #[arg(long, value_name = "FILE", required_unless_present = "from_secret")]
    client_key: Option<PathBuf>,
    /// Import the CA of the server from this file
    #[arg(long, value_name = "FILE", required_unless_present = "from_secret")]
    certificate_authority: Option<PathBuf>,
    /// Import all three from a Secret of the namespace: tls.crt, tls.key and ca.crt, or client.crt, client.key and
    /// ca.crt
    #[arg(long, value_name = "NAME")]
    #[arg(conflicts_with_all = ["client_certificate", "client_key", "certificate_authority"])]
    from_secret: Option<String>,
}

impl From<ImportArgs> for ImportSource {
    fn from(args: ImportArgs) -> Self {
        // The parser requires the files if there is no Secret.
        let file = Option::unwrap_or_default;
        match args.from_secret {
            Some(name) => Self::Secret { name },
            None => Self::Files {
                ca: file(args.certificate_authority),
                certificate: file(args.client_certificate),
                key: file(args.client_key),
            },
        }
    }
}

/// Imports the certificate.
pub(super) async fn run(args: ImportArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let cluster = Cluster::load(&connection.kube)?;
    let Imported { subject, refusal } = credentials::import(&cluster, connection, args.into()).await?;
    if let Some(refusal) = refusal {
        output::note(&format!(
            "warning: a server that trusts only this CA will refuse {}: {refusal}\n  the certificate is stored anyway, \
             because the server may accept client certificates of another CA",
            output::printable(&subject.user)
        ));
    }
    let context = config::describe(cluster.context().unwrap_or_default());
    Ok(output::print(&format!(
        "imported the client certificate of {} for {context}, valid until {}\n",
        output::printable(&subject.user),
        local(subject.not_after)
    ))?)
}
