//! The connection to the server, which most commands open first.

use jiff::Timestamp;

use crate::{
    args::ConnectionArgs,
    certificate::CertificateSummary,
    config::Settings,
    credentials::{Renewal, renew_if_due},
    error::{Error, explain},
    kubernetes::Cluster,
    output, program,
    session::{Session, tls},
    time::{distance, local},
};

/// Connects to the server. It renews the certificate of a login before, if that is due.
pub(super) async fn connect(args: &ConnectionArgs) -> Result<Session, Error> {
    Ok(connect_with_certificate(args).await?.0)
}

/// Connects to the server, and returns the client certificate too.
pub(super) async fn connect_with_certificate(
    args: &ConnectionArgs,
) -> Result<(Session, Option<CertificateSummary>), Error> {
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
    if cluster.absence().is_none() && !settings.has_credentials() {
        let context = cluster.context().unwrap_or_default().to_owned();
        return Err(Error::NotLoggedIn { context, path: settings.path });
    }
    let certificate =
        settings.certificate.as_ref().and_then(|certificate| tls::read(tls::CERTIFICATE, certificate).ok());
    let certificate = certificate.and_then(|pem| CertificateSummary::parse(&pem));
    let session = Session::open(cluster, &settings, args).await?;
    if settings.login.is_none() {
        certificate.iter().for_each(|certificate| warn_if_ending(certificate, Timestamp::now()));
    }
    Ok((session, certificate))
}

/// Warns of the end of a certificate that the plugin does not renew.
fn warn_if_ending(certificate: &CertificateSummary, now: Timestamp) {
    if certificate.is_ending(now) {
        let left = distance(now, certificate.not_after);
        let warning = format!(
            "warning: the client certificate ends in {left}, at {}, and nothing renews it\nhint: run `kubectl replicas \
             login`, or ask the issuer of the certificate for a new one",
            local(certificate.not_after)
        );
        output::note(&program::in_text(&warning));
    }
}
