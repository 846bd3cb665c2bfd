//! The connection to the server, which most commands open first.

use crate::{
    args::ConnectionArgs,
    config::Settings,
    credentials::{Renewal, renew_if_due},
    error::{Error, explain},
    kubernetes::Cluster,
    output,
    session::Session,
};

/// Connects to the server. It renews the certificate of a login before, if that is due.
pub(super) async fn connect(args: &ConnectionArgs) -> Result<Session, Error> {
    let cluster = match args.server.address {
        Some(_) => Cluster::load_if_present(&args.kube)?,
        None => Cluster::load(&args.kube)?,
    };
    let load_settings = || Settings::load(cluster.context(), &args.server);
    let mut settings = load_settings()?;
    match renew_if_due(&cluster, &settings, args.request_timeout).await? {
        Renewal::NotDue => {}
        Renewal::Renewed => settings = load_settings()?,
        Renewal::Postponed(error) => {
            output::note(&explain("warning: the client certificate was not renewed", &error.into()));
            // Another command may have renewed it.
            settings = load_settings()?;
        }
    }
    Ok(Session::open(cluster, &settings, args).await?)
}
