//! The configuration file: reads it, and changes one entry while all others stay.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::{edit, entry::Entry, error::Error};
use crate::{certificate::CertificateSummary, impersonation::Impersonation, private_file::Place, yaml::Mistake};

/// Stands in for content that is not shown, as in `kubectl config view`.
const OMITTED: &str = "DATA+OMITTED";

/// The content of the file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// The entries, by the names of their kube contexts.
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Entry>,
}

impl File {
    /// Removes the credentials of a context's login, and the entry if it is empty then.
    ///
    /// With an identity that the flags choose, it removes only the login as that identity.
    pub(crate) fn log_out(&mut self, context: &str, impersonation: Option<&Impersonation>) -> Result<(), Error> {
        let not_logged_in = || Error::NotLoggedIn { context: context.to_owned() };
        let entry = self.contexts.get_mut(context).ok_or_else(not_logged_in)?;
        match impersonation {
            Some(impersonation) => {
                drop(entry.impersonations.remove(&impersonation.to_string()).ok_or_else(not_logged_in)?)
            }
            None if entry.is_login() || !entry.impersonations.is_empty() => entry.log_out_of_all(),
            None if entry.has_credentials() => return Err(Error::NotFromLogin { context: context.to_owned() }),
            None => return Err(not_logged_in()),
        }
        if entry.is_empty() {
            self.contexts.remove(context);
        }
        Ok(())
    }

    /// The content without certificates and keys, but with the issuer and the end of each client certificate. The folder
    /// is that of the file.
    pub(crate) fn view(self, folder: &Path) -> Result<serde_json::Value, Error> {
        let mut contexts = serde_json::Map::new();
        for (name, entry) in self.contexts {
            contexts.insert(name, view(entry, folder)?);
        }
        Ok(serde_json::json!({"contexts": contexts}))
    }
}

/// An entry without certificates and keys, and without those of its parts.
fn view(mut entry: Entry, folder: &Path) -> Result<serde_json::Value, Error> {
    let certificate = entry.read_certificate(folder).and_then(|pem| CertificateSummary::parse(&pem));
    let omitted = entry.omit_data();
    let impersonation = std::mem::take(&mut entry.impersonations);
    let mut shown = serde_json::to_value(entry).map_err(|error| Error::Format(error.into()))?;
    for (field, _) in omitted.into_iter().filter(|(_, is_there)| *is_there) {
        shown[field] = OMITTED.into();
    }
    if let Some(CertificateSummary { issuer, not_after, .. }) = certificate {
        shown["certificateIssuer"] = issuer.into();
        shown["certificateNotAfter"] = not_after.to_string().into();
    }
    for (name, part) in impersonation {
        shown["as"][name] = view(part, folder)?;
    }
    Ok(shown)
}

/// Reads the file. A file that does not exist counts as empty.
pub(crate) fn load(path: &Path) -> Result<File, Error> {
    parse(path, &read(path)?)
}

fn read(path: &Path) -> Result<String, Error> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        text => text.map_err(|source| Error::Read { path: path.to_owned(), source }),
    }
}

pub(super) fn parse(path: &Path, text: &str) -> Result<File, Error> {
    let file = serde_yaml::from_str::<Option<File>>(text);
    Ok(file.map_err(|error| Error::Parse { path: path.to_owned(), source: Mistake::from(&error) })?.unwrap_or_default())
}

/// Checks that the file can be written. Callers do so before they request a certificate that would otherwise be lost.
pub(crate) fn check_writable(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    load(path)?;
    Place::prepare(path).and_then(|place| place.check_writable()).map_err(failed)
}

/// Changes the file atomically. Its comments stay.
pub(crate) fn edit<T>(path: &Path, change: impl FnOnce(&mut File) -> Result<T, Error>) -> Result<T, Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let place = Place::prepare(path).map_err(failed)?;
    let _lock = place.lock();
    let text = read(path)?;
    let before = parse(path, &text)?;
    let mut after = before.clone();
    let result = change(&mut after)?;
    let read = |text: &str| parse(path, text).ok().map(|file| file.contexts);
    let text = match edit::rewrite(&text, &before.contexts, &after.contexts, read) {
        Some(text) => text,
        None => serde_yaml::to_string(&after).map_err(|error| Error::Format(error.into()))?,
    };
    place.replace(text.as_bytes()).map_err(failed)?;
    Ok(result)
}

/// Writes a file that only the user can read, and the folders that it needs.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), Error> {
    let written = Place::prepare(path).and_then(|place| place.replace(content));
    written.map_err(|source| Error::Export { path: path.to_owned(), source })
}

/// Refuses to write files beside the key of a CA.
pub(crate) fn check_absent(ca_key: &Path) -> Result<(), Error> {
    if ca_key.exists() { Err(Error::HoldsCa { key: ca_key.to_owned() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
