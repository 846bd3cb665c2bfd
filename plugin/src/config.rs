//! The plugin's configuration: what the file says for a kube context, and what flags and environment say instead.

pub(crate) mod file;
#[cfg(test)]
mod fuzz;
pub(crate) mod setting;

use std::{
    env, fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};

use self::file::{Entry, File};
use crate::args::ServerArgs;

/// Names the configuration file, instead of the one in the user's configuration directory.
pub(crate) const PATH_VARIABLE: &str = "KUBECTL_REPLICAS_CONFIG";

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to read the configuration {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the configuration {} is wrong", path.display())]
    Parse { path: PathBuf, source: Box<serde_yaml::Error> },
    #[error("failed to write the configuration {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("failed to show the configuration as YAML")]
    Format(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("there is no place for the configuration: this user has no home folder")]
    NoPlace,
    #[error("not logged in with {}", named(context))]
    NotLoggedIn { context: String },
    #[error("the certificate for {} is not from a login", named(context))]
    NotFromLogin { context: String },
    #[error("{value:?} is no value of {key}: {why}")]
    Value { key: String, value: String, why: &'static str },
}

impl Error {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } | Self::Write { .. } | Self::Format(_) => None,
            Self::NoPlace => Some(format!("name a file with {PATH_VARIABLE}")),
            Self::NotLoggedIn { .. } => Some("`kubectl replicas config view` shows what there is".to_owned()),
            Self::NotFromLogin { .. } => Some(
                "to be without it: kubectl replicas config unset certificate, and the same with key and ca".to_owned(),
            ),
            Self::Value { .. } => Some("`kubectl replicas config set --help` tells what each setting is".to_owned()),
            Self::Parse { .. } => Some(format!("an entry looks like this:\n{}", example("my-context"))),
        }
    }
}

/// A context in words; a service account in a pod has none.
pub(crate) fn named(context: &str) -> String {
    match context {
        "" => "the service account of this pod".to_owned(),
        context => format!("the context {context}"),
    }
}

/// An entry of the file as an example.
pub(crate) fn example(context: &str) -> String {
    format!(
        "    contexts:\n      {context}:\n        ca: /path/to/ca.crt\n        certificate: /path/to/client.crt\n        \
         key: /path/to/client.key"
    )
}

/// Where a certificate or key comes from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Material {
    /// A file.
    File(PathBuf),
    /// The content itself.
    Inline(Vec<u8>),
    /// The content, and where it was read, in words.
    Taken { from: String, content: Vec<u8> },
}

/// Keeps keys out of whatever prints it.
impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Inline(_) => f.write_str("(inline)"),
            Self::Taken { from, .. } => f.write_str(from),
        }
    }
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The name or IP address, without brackets.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "give a host and a port, such as localhost:8080 or [::1]:8080";
        let (host, port) = text.rsplit_once(':').ok_or(wrong)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        let ambiguous = bare.is_none() && host.contains(':');
        if host.is_empty() || ambiguous || host.contains(['/', '[', ']']) {
            return Err(wrong);
        }
        Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| wrong)? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The Service of the server, as far as it was told.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceRef {
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

/// What is configured for one connection.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The CA that signs the server's certificate.
    pub(crate) ca: Option<Material>,
    /// The client certificate.
    pub(crate) certificate: Option<Material>,
    /// The key of the client certificate.
    pub(crate) key: Option<Material>,
    /// The name that the server's certificate must carry.
    pub(crate) server_name: Option<String>,
    /// The Service of the server.
    pub(crate) service: ServiceRef,
    /// Where the server is, if no port is to be forwarded.
    pub(crate) address: Option<Address>,
    /// The configuration file, whether it exists or not.
    pub(crate) path: Option<PathBuf>,
    /// Whether the certificate and the key are those of a login, which may be renewed.
    pub(crate) login: Option<Login>,
}

/// The login that a certificate is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    /// When its renewal may be tried again, after one that failed.
    pub(crate) retry_at: Option<Timestamp>,
    /// How long its certificates should last; the server's default if nothing was said.
    pub(crate) lifetime: Option<Duration>,
}

impl Settings {
    /// Reads the file's entry for a kube context, and lets the arguments win over it.
    pub(crate) fn load(context: Option<&str>, args: &ServerArgs) -> Result<Self, Error> {
        let path = path().unwrap_or_default();
        let mut file = if path.as_os_str().is_empty() { File::default() } else { file::load(&path)? };
        let entry = file.contexts.remove(context.unwrap_or_default()).unwrap_or_default();
        Ok(Self::merge(path, entry, args))
    }

    fn merge(path: PathBuf, entry: Entry, args: &ServerArgs) -> Self {
        let directory = path.parent().unwrap_or(Path::new(""));
        let material = |flag: &Option<PathBuf>, data: Option<ByteString>, file: Option<PathBuf>| {
            let given = flag.clone().map(Material::File);
            let inline = || data.map(|data| Material::Inline(data.0));
            given.or_else(inline).or_else(|| file.map(|file| Material::File(directory.join(file))))
        };
        let is_login = entry.is_login() && args.cert.is_none() && args.key.is_none();
        Self {
            login: is_login.then(|| entry.login()),
            ca: material(&args.ca, entry.ca_data, entry.ca),
            certificate: material(&args.cert, entry.certificate_data, entry.certificate),
            key: material(&args.key, entry.key_data, entry.key),
            server_name: args.server_name.clone().or(entry.server_name),
            service: ServiceRef {
                namespace: args.service_namespace.clone().or(entry.service.namespace),
                name: args.service_name.clone().or(entry.service.name),
            },
            address: args.address.clone().or(entry.address),
            path: (!path.as_os_str().is_empty()).then_some(path),
        }
    }
}

/// Where the configuration file is, whether it exists or not.
pub(crate) fn path() -> Option<PathBuf> {
    let named = env::var_os(PATH_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    named.or_else(default_path)
}

/// Where the configuration file is unless the variable names another.
pub(crate) fn default_path() -> Option<PathBuf> {
    Some(dirs::config_dir()?.join("kubectl-replicas").join("config.yaml"))
}

#[cfg(test)]
mod tests;
