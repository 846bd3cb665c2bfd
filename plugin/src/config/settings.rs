//! The settings of one connection: an entry of the file, and the flags and variables that override it.

use std::path::{Path, PathBuf};

use k8s_openapi::ByteString;

use super::{
    entry::{Entry, Login, ServiceRef},
    error::Error,
    file::{self, File},
    location,
    material::Material,
};
use crate::{address::Address, args::ServerArgs, impersonation::Impersonation};

/// The settings of one connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// The CA that signs the server's certificate.
    pub(crate) ca: Option<Material>,
    /// The client certificate.
    pub(crate) certificate: Option<Material>,
    /// The key of the client certificate.
    pub(crate) key: Option<Material>,
    /// The name that the server's certificate must carry.
    pub(crate) server_name: Option<String>,
    /// The server's Service: the configured one, or else that of the login.
    pub(crate) service: ServiceRef,
    /// The server's address. Without one, the plugin forwards a port of a pod.
    pub(crate) address: Option<Address>,
    /// The configuration file, which need not exist.
    pub(crate) path: Option<PathBuf>,
    /// The CA that the login trusts, whatever the flags say. A new CA needs its signature.
    pub(crate) login_ca: Option<Material>,
    /// The login that the certificate and the key come from, if they may be renewed.
    pub(crate) login: Option<Login>,
}

impl Settings {
    /// Reads the file's entry for a kube context. The arguments override it.
    ///
    /// For an identity that the flags choose, the certificate is that of its login.
    pub(crate) fn load(
        context: Option<&str>,
        impersonation: Option<&Impersonation>,
        args: &ServerArgs,
    ) -> Result<Self, Error> {
        let path = location::path().unwrap_or_default();
        let mut file = if path.as_os_str().is_empty() { File::default() } else { file::load(&path)? };
        let entry = file.contexts.remove(context.unwrap_or_default()).unwrap_or_default();
        let Some(impersonation) = impersonation else { return Ok(Self::merge(path, entry, args)) };
        let settings = Self::merge(path.clone(), entry.clone().impersonating(impersonation), args);
        // The first login as another user trusts the CA of the context's own login.
        let login_ca = settings.login_ca.clone().or_else(|| Self::merge(path, entry, args).login_ca);
        Ok(Self { login_ca, ..settings })
    }

    /// Whether there is any certificate or key, of a login or of another source.
    pub(crate) fn has_credentials(&self) -> bool {
        self.ca.is_some() || self.certificate.is_some() || self.key.is_some()
    }

    pub(super) fn merge(path: PathBuf, entry: Entry, args: &ServerArgs) -> Self {
        let directory = path.parent().unwrap_or(Path::new(""));
        let material = |flag: &Option<PathBuf>, data: Option<ByteString>, file: Option<PathBuf>| {
            let given = flag.clone().map(Material::File);
            let inline = || data.map(|data| Material::Inline(data.0));
            given.or_else(inline).or_else(|| file.map(|file| Material::File(directory.join(file))))
        };
        let is_login = entry.is_login() && args.cert.is_none() && args.key.is_none();
        let in_file = |data: &Option<ByteString>, file: &Option<PathBuf>| material(&None, data.clone(), file.clone());
        let login_ca = entry.is_login().then(|| in_file(&entry.ca_data, &entry.ca)).flatten();
        let named = ServiceRef {
            namespace: args.service_namespace.clone().or(entry.service.namespace.clone()),
            name: args.service_name.clone().or(entry.service.name.clone()),
        };
        Self {
            login_ca,
            login: is_login.then(|| entry.login()),
            ca: material(&args.ca, entry.ca_data, entry.ca),
            certificate: material(&args.cert, entry.certificate_data, entry.certificate),
            key: material(&args.key, entry.key_data, entry.key),
            server_name: args.server_name.clone().or(entry.server_name),
            service: if named == ServiceRef::default() { entry.login_service } else { named },
            address: args.address.clone().or(entry.address),
            path: (!path.as_os_str().is_empty()).then_some(path),
        }
    }
}

#[cfg(test)]
mod tests;
