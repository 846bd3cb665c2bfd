//! The configuration file: reading it, and changing one entry while all others stay.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};

use super::{Address, Error, Login, ServiceRef};

/// What stands for a content that is not shown, as in `kubectl config view`.
const OMITTED: &str = "DATA+OMITTED";

/// The content of the file.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// An entry for each kube context.
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Entry>,
}

/// What the file says for a kube context.
#[derive(Clone, Default, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(crate) struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ca: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ca_data: Option<ByteString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate_data: Option<ByteString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key_data: Option<ByteString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server_name: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub(super) service: ServiceRef,
    #[serde(skip_serializing_if = "Option::is_none", with = "address")]
    pub(super) address: Option<Address>,
    /// Whether the data are from `kubectl replicas login`: those may be renewed, and removed by logging out.
    #[serde(skip_serializing_if = "is_default")]
    login: bool,
    /// How long the login asked its certificates to last; renewals ask for the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_seconds: Option<u64>,
    /// When a renewal may be tried again, after one that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_at: Option<Timestamp>,
}

/// Keeps keys out of whatever prints it.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("login", &self.login).finish_non_exhaustive()
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// An address as its text.
mod address {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::config::Address;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Address>, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Some).map_err(D::Error::custom)
    }

    pub(super) fn serialize<S: Serializer>(address: &Option<Address>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&address.as_ref().map(Address::to_string).unwrap_or_default())
    }
}

/// A client certificate with its key, and the CA of the server; all in PEM.
#[derive(Clone)]
pub(crate) struct Credentials {
    /// The CA that signs the server's certificate.
    pub(crate) ca: Vec<u8>,
    /// The client certificate.
    pub(crate) certificate: Vec<u8>,
    /// The key of the client certificate.
    pub(crate) key: Vec<u8>,
}

impl Entry {
    /// Whether it holds what `kubectl replicas login` stored.
    pub(crate) fn is_login(&self) -> bool {
        self.login && self.certificate_data.is_some() && self.key_data.is_some()
    }

    /// Whether it holds any certificate or key.
    pub(crate) fn has_credentials(&self) -> bool {
        let data = [&self.certificate_data, &self.key_data].into_iter().any(Option::is_some);
        data || self.certificate.is_some() || self.key.is_some()
    }

    /// Forgets that the credentials are a login's: they no longer are.
    pub(super) fn end_login(&mut self) {
        (self.login, self.expiration_seconds, self.retry_at) = (false, None, None);
    }

    /// What renewals go by.
    pub(super) fn login(&self) -> Login {
        Login { retry_at: self.retry_at, lifetime: self.expiration_seconds.map(Duration::from_secs) }
    }

    /// Takes the credentials of a login, and how long it asked them to last.
    pub(crate) fn log_in(&mut self, credentials: Credentials, lifetime: Option<Duration>) {
        self.import(credentials);
        self.login = true;
        self.expiration_seconds = lifetime.map(|lifetime| lifetime.as_secs());
    }

    /// Takes credentials in place of those before; paths stay, and count again when the data are gone.
    pub(crate) fn import(&mut self, credentials: Credentials) {
        self.log_out();
        self.ca_data = Some(ByteString(credentials.ca));
        self.certificate_data = Some(ByteString(credentials.certificate));
        self.key_data = Some(ByteString(credentials.key));
    }

    /// Notes that a renewal is under way, or has failed.
    pub(crate) fn retry_at(&mut self, time: Timestamp) {
        self.retry_at = Some(time);
    }

    /// Drops what a login stored.
    fn log_out(&mut self) {
        (self.ca_data, self.certificate_data, self.key_data) = (None, None, None);
        self.end_login();
    }

    fn omit_data(&mut self) -> [(&'static str, bool); 3] {
        [
            ("caData", &mut self.ca_data),
            ("certificateData", &mut self.certificate_data),
            ("keyData", &mut self.key_data),
        ]
        .map(|(name, data)| (name, data.take().is_some()))
    }
}

impl File {
    /// Drops what a login stored for a context, and the entry if nothing else is in it.
    pub(crate) fn log_out(&mut self, context: &str) -> Result<(), Error> {
        match self.contexts.get_mut(context) {
            Some(entry) if entry.is_login() => {
                entry.log_out();
                if is_default(entry) {
                    self.contexts.remove(context);
                }
                Ok(())
            }
            Some(entry) if entry.has_credentials() => Err(Error::NotFromLogin { context: context.to_owned() }),
            _ => Err(Error::NotLoggedIn { context: context.to_owned() }),
        }
    }

    /// The content for people: without certificates, and above all without keys.
    pub(crate) fn view(self) -> Result<serde_json::Value, Error> {
        let mut contexts = serde_json::Map::new();
        for (name, mut entry) in self.contexts {
            let omitted = entry.omit_data();
            let mut shown = serde_json::to_value(entry).map_err(|error| Error::Format(error.into()))?;
            for (field, _) in omitted.into_iter().filter(|(_, is_there)| *is_there) {
                shown[field] = OMITTED.into();
            }
            contexts.insert(name, shown);
        }
        Ok(serde_json::json!({"contexts": contexts}))
    }
}

/// Reads the file; one that does not exist is empty.
pub(crate) fn load(path: &Path) -> Result<File, Error> {
    match fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(File::default()),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
    }
}

pub(super) fn parse(path: &Path, text: &str) -> Result<File, Error> {
    let wrong = |source| Error::Parse { path: path.to_owned(), source: Box::new(source) };
    // The lines around a mistake may hold a key.
    let options = serde_yaml::options! { with_snippet: false };
    Ok(serde_yaml::from_str_with_options::<Option<File>>(text, options).map_err(wrong)?.unwrap_or_default())
}

/// Makes sure that the file can be written, before somebody else does work that would be lost if it cannot.
pub(crate) fn check_writable(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    load(path)?;
    let (_, folder) = place(path).map_err(failed)?;
    let (draft, _) = create_draft(&folder).map_err(failed)?;
    fs::remove_file(draft).map_err(failed)
}

/// Changes the file: all of the change is there afterwards, or nothing of it.
pub(crate) fn edit<T>(path: &Path, change: impl FnOnce(&mut File) -> Result<T, Error>) -> Result<T, Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let (place, folder) = place(path).map_err(failed)?;
    let _lock = lock(&folder);
    let mut file = load(path)?;
    let result = change(&mut file)?;
    let text = serde_yaml::to_string(&file).map_err(|error| Error::Format(error.into()))?;
    replace(&place, &folder, &text).map_err(failed)?;
    Ok(result)
}

/// The file itself, since a link to it is not to be replaced, and its folder, which is there afterwards.
fn place(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    create_folder(&folder)?;
    Ok((place, folder))
}

fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Keeps other runs from changing the file meanwhile, where the system can lock a folder.
fn lock(folder: &Path) -> Option<fs::File> {
    let folder = fs::File::open(folder).ok()?;
    folder.lock().ok()?;
    Some(folder)
}

/// Writes a file beside its place, private from its first byte, and moves it there.
fn replace(place: &Path, folder: &Path, text: &str) -> io::Result<()> {
    let (draft, mut file) = create_draft(folder)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let moved = written.and_then(|()| fs::rename(&draft, place));
    if moved.is_err() {
        let _ = fs::remove_file(&draft);
    }
    moved
}

fn create_draft(folder: &Path) -> io::Result<(PathBuf, fs::File)> {
    let draft = folder.join(format!(".kubectl-replicas.{}-{:08x}", std::process::id(), fastrand::u32(..)));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&draft)?;
    Ok((draft, file))
}

#[cfg(test)]
mod tests;
