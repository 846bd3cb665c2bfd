//! The plugin's configuration: what the file says for a kube context, and what flags and environment say instead.

use std::{
    collections::BTreeMap,
    env, fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use k8s_openapi::ByteString;
use serde::Deserialize;

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
}

impl Error {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => None,
            Self::Parse { .. } => Some(format!("an entry looks like this:\n{}", example("my-context"))),
        }
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
}

/// Keeps keys out of whatever prints it.
impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Inline(_) => f.write_str("(inline)"),
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
        if host.is_empty() || ambiguous || host.contains('/') {
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
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceRef {
    /// Its namespace.
    pub(crate) namespace: Option<String>,
    /// Its name.
    pub(crate) name: Option<String>,
}

/// The configuration file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    contexts: BTreeMap<String, Entry>,
}

/// What the file says for a kube context.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    ca: Option<PathBuf>,
    ca_data: Option<ByteString>,
    certificate: Option<PathBuf>,
    certificate_data: Option<ByteString>,
    key: Option<PathBuf>,
    key_data: Option<ByteString>,
    server_name: Option<String>,
    #[serde(default)]
    service: ServiceRef,
    #[serde(default, deserialize_with = "address")]
    address: Option<Address>,
}

fn address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Address>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
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
}

impl Settings {
    /// Reads the file's entry for a kube context, and lets the arguments win over it.
    pub(crate) fn load(context: Option<&str>, args: &ServerArgs) -> Result<Self, Error> {
        let path = path();
        let text = match &path {
            Some(path) => read(path)?,
            None => String::new(),
        };
        let path = path.unwrap_or_default();
        let entry = parse(&path, &text)?.contexts.remove(context.unwrap_or_default()).unwrap_or_default();
        Ok(Self::merge(path, entry, args))
    }

    fn merge(path: PathBuf, entry: Entry, args: &ServerArgs) -> Self {
        let directory = path.parent().unwrap_or(Path::new(""));
        let material = |flag: &Option<PathBuf>, data: Option<ByteString>, file: Option<PathBuf>| {
            let given = flag.clone().map(Material::File);
            let inline = || data.map(|data| Material::Inline(data.0));
            given.or_else(inline).or_else(|| file.map(|file| Material::File(directory.join(file))))
        };
        Self {
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

fn path() -> Option<PathBuf> {
    let named = env::var_os(PATH_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    named.or_else(default_path)
}

/// Where the configuration file is unless the variable names another.
pub(crate) fn default_path() -> Option<PathBuf> {
    Some(dirs::config_dir()?.join("kubectl-replicas").join("config.yaml"))
}

fn read(path: &Path) -> Result<String, Error> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        text => text.map_err(|source| Error::Read { path: path.to_owned(), source }),
    }
}

fn parse(path: &Path, text: &str) -> Result<File, Error> {
    let wrong = |source| Error::Parse { path: path.to_owned(), source: Box::new(source) };
    // The lines around a mistake may hold a key.
    let options = serde_yaml::options! { with_snippet: false };
    Ok(serde_yaml::from_str_with_options::<Option<File>>(text, options).map_err(wrong)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
