//! The renewal of a login, before its certificate expires.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    certificate_request::LoginOptions,
    certificate_subject::CertificateSubject,
    credential_store,
    error::Error,
    login::{Obtained, obtain},
};
use crate::{config::Settings, kubernetes::Cluster};

/// The limit of a renewal, which delays a command. After it the command continues with the old certificate.
const RENEWAL_LIMIT: Duration = Duration::from_secs(10);

/// The pause after a failed renewal, so that not every command waits for another failure.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5 * 60);

/// The result of a renewal.
pub(crate) enum Renewal {
    /// The certificate is not from a login, is still fresh, or its renewal failed a short time ago.
    NotDue,
    Renewed,
    /// The renewal failed, but the old certificate is still valid.
    Postponed(Error),
}

/// Renews the certificate of a login in the last third of its lifetime.
///
/// A failure is an error only if the old certificate has expired.
pub(crate) async fn renew_if_due(cluster: &Cluster, settings: &Settings, limit: Duration) -> Result<Renewal, Error> {
    if cluster.absence().is_some() {
        return Ok(Renewal::NotDue);
    }
    let Some(user) = find_due_user(settings) else { return Ok(Renewal::NotDue) };
    let Err(error) = renew(cluster, settings, limit.min(RENEWAL_LIMIT), &user).await else {
        return Ok(Renewal::Renewed);
    };
    let now = Timestamp::now();
    let subject = CertificateSubject::of_login(settings.certificate.as_ref());
    if subject.is_none_or(|subject| subject.not_after <= now) {
        return Err(error);
    }
    // If this fails too, the next command tries again. The certificate is still valid.
    let _ = credential_store::postpone_renewal(cluster, settings, now.saturating_add(RENEWAL_PAUSE).unwrap_or(now));
    Ok(Renewal::Postponed(error))
}

/// The user of the login whose certificate should be renewed now.
fn find_due_user(settings: &Settings) -> Option<String> {
    let now = Timestamp::now();
    settings.login.filter(|login| login.retry_at.is_none_or(|at| at <= now))?;
    let subject = CertificateSubject::of_login(settings.certificate.as_ref())?;
    subject.is_due(now).then_some(subject.user)
}

async fn renew(cluster: &Cluster, settings: &Settings, limit: Duration, user: &str) -> Result<(), Error> {
    let lifetime = settings.login.and_then(|login| login.lifetime);
    let options = LoginOptions { lifetime, timeout: RENEWAL_LIMIT, is_quiet: true };
    let Obtained { credentials, subject, server } = obtain(cluster, settings, limit, options).await?;
    if subject.user != user {
        // A change of the kubeconfig must not silently change the user who sets counts.
        return Err(Error::OtherUser { old: user.to_owned(), new: subject.user });
    }
    credential_store::store_login(cluster, settings, credentials, server, lifetime)
}
