//! `kubectl replicas config export`.

use std::path::PathBuf;

use clap::Args;

use crate::{
    args::ConnectionArgs,
    commands::connect::load_settings,
    config::file,
    credentials::CertificateSubject,
    error::Error,
    kubernetes::Cluster,
    output::{self, printable},
    program::in_text,
    session::{self, tls},
    time::local,
};

/// The files of the CA, the client certificate and its key, in the folder.
const FILES: [&str; 3] = ["ca/ca.crt", "client/client.crt", "client/client.key"];

/// The key of a CA, which the command `certificates` writes beside its certificate.
const CA_KEY: &str = "ca/ca.key";

const EXAMPLES: &str = "\
Examples:
  # Write the files of this context for grpcurl and other programs, into the folder certificates
  kubectl replicas config export

  # Write those of another context elsewhere
  kubectl replicas config export --context my-cluster --to /tmp/my-certificates";

/// Write the CA, the client certificate and the key of this context into files, for other programs
///
/// The files are ca/ca.crt, client/client.crt and client/client.key in the folder. Only you can read them. The
/// certificate of a login is short-lived, and only the plugin renews it: export it again before it ends.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES))]
pub(super) struct ExportArgs {
    /// Write the files into this folder
    #[arg(long, value_name = "FOLDER", default_value = "certificates")]
    to: PathBuf,
}

/// Writes the files.
pub(super) async fn run(args: ExportArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let cluster = Cluster::load(&connection.kube)?;
    let settings = load_settings(&cluster, connection).await?;
    let contents = tls::read_configured(&settings, cluster.context()).map_err(session::Error::from)?;
    file::check_absent(&args.to.join(CA_KEY))?;
    let subject = CertificateSubject::parse(&contents[1]);
    for (name, content) in FILES.iter().zip(&contents) {
        let path = args.to.join(name);
        file::write_private(&path, content)?;
        output::print(&format!("{} written\n", path.display()))?;
    }
    if let Some(CertificateSubject { user, not_after, .. }) = subject {
        output::note(&format!("the certificate is that of {}, and ends at {}", printable(&user), local(not_after)));
    }
    Ok(())
}
