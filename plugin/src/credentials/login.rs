//! Logins: a certificate for the user of the kubeconfig, stored for the context.

use std::time::Duration;

use super::{
    ca_trust::is_vouched_for,
    certificate_request::{LoginOptions, request_certificate},
    certificate_subject::CertificateSubject,
    credential_store,
    error::Error,
};
use crate::{
    config::{self, Credentials, ServiceRef, Settings, file},
    kubernetes::Cluster,
    session::tls,
};

/// Gets a certificate for the user of the kubeconfig, stores it for the context, and returns its subject.
pub(crate) async fn log_in(
    cluster: &Cluster,
    settings: &Settings,
    limit: Duration,
    options: LoginOptions,
) -> Result<CertificateSubject, Error> {
    let obtained = obtain(cluster, settings, limit, options).await?;
    credential_store::store_login(cluster, settings, obtained.credentials, obtained.server, options.lifetime)?;
    Ok(obtained.subject)
}

/// What a login has obtained.
pub(super) struct Obtained {
    pub(super) credentials: Credentials,
    pub(super) subject: CertificateSubject,
    /// The server that has signed the certificate.
    pub(super) server: ServiceRef,
}

/// Gets credentials for the user of the kubeconfig.
///
/// It checks first that the configuration file can be written, so that no certificate is lost. After a login it accepts
/// no other CA than the login's, or one that the login's CA has signed.
pub(super) async fn obtain(
    cluster: &Cluster,
    settings: &Settings,
    limit: Duration,
    options: LoginOptions,
) -> Result<Obtained, Error> {
    file::check_writable(settings.path.as_ref().ok_or(config::Error::NoPath)?)?;
    let client = cluster.client().await?;
    let server = cluster.server(&settings.service, limit).await?;
    let not_managed = || Error::NotManaged { service: server.name.clone(), namespace: server.namespace.clone() };
    let ca = server.managed_ca(limit).await.map_err(Error::Ca)?.ok_or_else(not_managed)?;
    if let Some(trusted) = &settings.login_ca
        && !is_vouched_for(&ca, &tls::read(tls::CA, trusted).map_err(Error::LoginCa)?)
    {
        return Err(Error::OtherCa { service: server.name, namespace: server.namespace });
    }
    let (certificate, key) = request_certificate(&client, &server, limit, options).await?;
    let subject = CertificateSubject::parse(&certificate).ok_or(Error::Unreadable)?;
    let credentials = Credentials { ca: ca.certificates.into_bytes(), certificate, key };
    let server = ServiceRef { namespace: Some(server.namespace), name: Some(server.name) };
    Ok(Obtained { credentials, subject, server })
}
