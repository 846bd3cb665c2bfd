//! Logins: a certificate for the user of the kubeconfig, stored for the context.

use std::time::Duration;

use super::{
    certificate_request::{LoginOptions, request_certificate},
    certificate_subject::CertificateSubject,
    credential_store,
    error::Error,
};
use crate::{
    config::{self, Credentials, Settings, file},
    kubernetes::Cluster,
};

/// Gets a certificate for the user of the kubeconfig, stores it for the context, and returns its subject.
pub(crate) async fn log_in(
    cluster: &Cluster,
    settings: &Settings,
    limit: Duration,
    options: LoginOptions,
) -> Result<CertificateSubject, Error> {
    let (credentials, subject) = obtain(cluster, settings, limit, options).await?;
    credential_store::store_login(cluster, settings, credentials, options.lifetime)?;
    Ok(subject)
}

/// Gets credentials for the user of the kubeconfig.
///
/// It checks first that the configuration file can be written, so that no certificate is lost.
pub(super) async fn obtain(
    cluster: &Cluster,
    settings: &Settings,
    limit: Duration,
    options: LoginOptions,
) -> Result<(Credentials, CertificateSubject), Error> {
    file::check_writable(settings.path.as_ref().ok_or(config::Error::NoPath)?)?;
    let client = cluster.client().await?;
    let server = cluster.server(&settings.service, limit).await?;
    let not_managed = || Error::NotManaged { service: server.name.clone(), namespace: server.namespace.clone() };
    let ca = server.managed_ca(limit).await.map_err(Error::Ca)?.ok_or_else(not_managed)?.into_bytes();
    let (certificate, key) = request_certificate(&client, limit, options).await?;
    let subject = CertificateSubject::parse(&certificate).ok_or(Error::Unreadable)?;
    Ok((Credentials { ca, certificate, key }, subject))
}
