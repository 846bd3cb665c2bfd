//! The connection to the server, which most commands open first.

use jiff::Timestamp;

use crate::{
    args::ConnectionArgs,
    certificate::CertificateSummary,
    config::{self, Settings},
    credentials::{CertificateSubject, Renewal, renew_if_due},
    error::{Error, explain},
    impersonation::Impersonation,
    kubernetes::Cluster,
    output, program,
    session::{Connections, Session, tls},
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
    connect_to(load_cluster(args)?, args, &Connections::default()).await
}

/// Connects to the server of a cluster, unless one of these connections already leads there; and returns the client
/// certificate too.
pub(super) async fn connect_to(
    cluster: Cluster,
    args: &ConnectionArgs,
    connections: &Connections,
) -> Result<(Session, Option<CertificateSummary>), Error> {
    let settings = load_settings(&cluster, args).await?;
    let (session, pem) = open(cluster, &settings, args, connections).await?;
    let certificate = pem.and_then(|pem| CertificateSummary::parse(&pem));
    if settings.login.is_none() {
        let context = session.context();
        certificate.iter().for_each(|certificate| warn_if_ending(certificate, context, Timestamp::now()));
    }
    Ok((session, certificate))
}

/// Connects to the server within the request timeout, without a question, a renewal or a message.
pub(crate) async fn connect_silently(args: &ConnectionArgs) -> Result<Session, Error> {
    let cluster = load_cluster(args)?.silent(args.request_timeout);
    let settings = Settings::load(cluster.context(), cluster.impersonation(), &args.server)?;
    check_credentials(&cluster, &settings)?;
    Ok(open(cluster, &settings, args, &Connections::default()).await?.0)
}

fn load_cluster(args: &ConnectionArgs) -> Result<Cluster, Error> {
    Ok(match args.server.address {
        Some(_) => Cluster::load_if_present(&args.kube)?,
        None => Cluster::load(&args.kube)?,
    })
}

/// Opens the connection. Returns it with the client certificate, in PEM.
async fn open(
    cluster: Cluster,
    settings: &Settings,
    args: &ConnectionArgs,
    connections: &Connections,
) -> Result<(Session, Option<Vec<u8>>), Error> {
    let pem = settings.certificate.as_ref().and_then(|certificate| tls::read(tls::CERTIFICATE, certificate).ok());
    let impersonation = cluster.impersonation().cloned();
    let session = Session::open(cluster, settings, user_of(pem.as_deref()), args, connections).await?;
    if let Some(impersonation) = impersonation {
        check_user(&session, impersonation)?;
    }
    Ok((session, pem))
}

/// Loads the settings of the connection. It renews the certificate of a login before, if that is due.
pub(super) async fn load_settings(cluster: &Cluster, args: &ConnectionArgs) -> Result<Settings, Error> {
    let load = || Settings::load(cluster.context(), cluster.impersonation(), &args.server);
    let mut settings = load()?;
    match renew_if_due(cluster, &settings, args.request_timeout).await? {
        Renewal::NotDue => {}
        Renewal::Renewed => settings = load()?,
        Renewal::Postponed(error) => {
            output::note(&explain("warning: the client certificate was not renewed", &error.into()));
            // Another command may have renewed it.
            settings = load()?;
        }
    }
    check_credentials(cluster, &settings)?;
    Ok(settings)
}

/// Refuses to go on without a client certificate. It says how to get one.
pub(super) fn check_credentials(cluster: &Cluster, settings: &Settings) -> Result<(), Error> {
    let context = cluster.context().unwrap_or_default().to_owned();
    match cluster.impersonation() {
        Some(impersonation) if settings.certificate.is_none() => {
            Err(Error::NotLoggedInAs { impersonation: impersonation.clone(), context })
        }
        None if cluster.absence().is_none() && !settings.has_credentials() => {
            Err(Error::NotLoggedIn { context, path: settings.path.clone() })
        }
        _ => Ok(()),
    }
}

/// The user whom a client certificate in PEM names. It is empty if that is not known.
pub(super) fn user_of(certificate: Option<&[u8]>) -> String {
    certificate.and_then(CertificateSubject::parse).map(|subject| subject.user).unwrap_or_default()
}

/// Refuses to call the server as another user than the flags choose. The API server has let the caller act as that user,
/// but the server believes only the certificate.
pub(super) fn check_user(session: &Session, impersonation: Impersonation) -> Result<(), Error> {
    match !session.user.is_empty() && session.user == impersonation.user {
        true => Ok(()),
        false => Err(Error::NotLoggedInAs { impersonation, context: session.context().unwrap_or_default().to_owned() }),
    }
}

/// Warns of the end of a certificate that the plugin does not renew.
fn warn_if_ending(certificate: &CertificateSummary, context: Option<&str>, now: Timestamp) {
    if certificate.is_ending(now) {
        let left = distance(now, certificate.not_after);
        let warning = format!(
            "warning: the client certificate of {} ends in {left}, at {}, and nothing renews it\nhint: run `kubectl \
             replicas login`, or ask the issuer of the certificate for a new one",
            config::describe(context.unwrap_or_default()),
            local(certificate.not_after)
        );
        output::note(&program::in_hint(&warning));
    }
}
