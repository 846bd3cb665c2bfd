//! Credentials in the configuration file.

use std::{path::Path, time::Duration};

use jiff::Timestamp;

use super::error::Error;
use crate::{
    config::{self, Credentials, ServiceRef, Settings, file},
    kubernetes::Cluster,
};

/// Stores the credentials of a login for the context, the server that signed them, and the lifetime that it asked for.
pub(super) fn store_login(
    cluster: &Cluster,
    settings: &Settings,
    credentials: Credentials,
    server: ServiceRef,
    lifetime: Option<Duration>,
) -> Result<(), Error> {
    let path = settings.path.as_ref().ok_or(config::Error::NoPath)?;
    file::edit(path, |file| {
        let entry = file.contexts.entry(context_of(cluster)).or_default();
        entry.login_entry(cluster.impersonation()).log_in(credentials, server, lifetime);
        Ok(())
    })?;
    Ok(())
}

/// Stores imported credentials for the context.
pub(super) fn store_import(cluster: &Cluster, path: &Path, credentials: Credentials) -> Result<(), Error> {
    file::edit(path, |file| {
        file.contexts.entry(context_of(cluster)).or_default().import(credentials);
        Ok(())
    })?;
    Ok(())
}

/// Stores the earliest time of the next renewal.
pub(super) fn postpone_renewal(cluster: &Cluster, settings: &Settings, until: Timestamp) -> Result<(), Error> {
    let Some(path) = &settings.path else { return Ok(()) };
    file::edit(path, |file| {
        if let Some(entry) = file.contexts.get_mut(&context_of(cluster)) {
            entry.login_entry(cluster.impersonation()).set_retry_at(until);
        }
        Ok(())
    })?;
    Ok(())
}

/// The name of the entry. A service account has the empty name.
fn context_of(cluster: &Cluster) -> String {
    cluster.context().unwrap_or_default().to_owned()
}
