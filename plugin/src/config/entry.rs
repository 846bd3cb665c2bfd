//! The entry of one kube context in the configuration file.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};

use crate::{address::Address, impersonation::Impersonation};

/// An entry. Inline data win over the paths beside them.
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
    /// Whether `kubectl replicas login` stored the data. Such data are renewed, and logging out removes them.
    #[serde(skip_serializing_if = "is_default")]
    login: bool,
    /// The Service of the server that has signed the login's certificate. Later commands look for no other, unless
    /// `service` names one.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) login_service: ServiceRef,
    /// The lifetime that the login asked for. Renewals ask for the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_seconds: Option<u64>,
    /// The earliest time of the next renewal, after one that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_at: Option<Timestamp>,
    /// The logins as other users, which the flag `--as` chooses.
    #[serde(rename = "as", skip_serializing_if = "is_default")]
    pub(super) impersonations: BTreeMap<String, Entry>,
}

/// Leaves out everything but the login, since some fields are keys.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("login", &self.login).finish_non_exhaustive()
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Reads and writes an address as text.
mod address {
    use serde::{
        Deserialize, Deserializer, Serializer,
        de::{Error, Unexpected},
    };

    use crate::address::Address;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Address>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = "a host and a port, such as localhost:8080 or [::1]:8080";
        let wrong = |_| D::Error::invalid_value(Unexpected::Str(&text), &expected);
        text.parse::<Address>().map(Some).map_err(wrong)
    }

    pub(super) fn serialize<S: Serializer>(address: &Option<Address>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&address.as_ref().map(Address::to_string).unwrap_or_default())
    }
}

/// The server's Service, as far as it is configured.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceRef {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

/// The login that a certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    /// The earliest time of the next renewal, after one that failed.
    pub(crate) retry_at: Option<Timestamp>,
    /// The lifetime to ask for. The server has a default.
    pub(crate) lifetime: Option<Duration>,
}

/// A client certificate, its key, and the CA of the server, in PEM.
#[derive(Clone)]
pub(crate) struct Credentials {
    /// The CA that signs the server's certificate.
    pub(crate) ca: Vec<u8>,
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl Entry {
    /// Whether it holds the credentials of a login.
    pub(crate) fn is_login(&self) -> bool {
        self.login && self.certificate_data.is_some() && self.key_data.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        is_default(self)
    }

    /// Whether it holds any certificate or key.
    pub(super) fn has_credentials(&self) -> bool {
        let has_data = [&self.certificate_data, &self.key_data].into_iter().any(Option::is_some);
        has_data || self.certificate.is_some() || self.key.is_some()
    }

    /// Marks the credentials as not from a login, because one of them was replaced.
    pub(super) fn end_login(&mut self) {
        (self.login, self.expiration_seconds, self.retry_at) = (false, None, None);
        self.login_service = ServiceRef::default();
    }

    pub(super) fn login(&self) -> Login {
        Login { retry_at: self.retry_at, lifetime: self.expiration_seconds.map(Duration::from_secs) }
    }

    /// Stores the credentials of a login, the server that signed them, and the lifetime that the login asked for.
    pub(crate) fn log_in(&mut self, credentials: Credentials, server: ServiceRef, lifetime: Option<Duration>) {
        self.import(credentials);
        self.login = true;
        self.login_service = server;
        self.expiration_seconds = lifetime.map(|lifetime| lifetime.as_secs());
    }

    /// Stores credentials in place of the previous data. Paths stay, and count again when the data are removed.
    pub(crate) fn import(&mut self, credentials: Credentials) {
        self.log_out();
        self.ca_data = Some(ByteString(credentials.ca));
        self.certificate_data = Some(ByteString(credentials.certificate));
        self.key_data = Some(ByteString(credentials.key));
    }

    /// Postpones the next renewal.
    pub(crate) fn set_retry_at(&mut self, time: Timestamp) {
        self.retry_at = Some(time);
    }

    /// The place of an identity's login: the entry itself, or the part of it for the identity that the flags choose.
    pub(crate) fn login_entry(&mut self, impersonation: Option<&Impersonation>) -> &mut Self {
        match impersonation {
            Some(impersonation) => self.impersonations.entry(impersonation.to_string()).or_default(),
            None => self,
        }
    }

    /// The entry with the login of an identity that the flags choose, in place of its own certificate and key.
    pub(super) fn impersonating(mut self, impersonation: &Impersonation) -> Self {
        let Self { ca_data, certificate_data, key_data, login, login_service, expiration_seconds, retry_at, .. } =
            self.impersonations.remove(&impersonation.to_string()).unwrap_or_default();
        if ca_data.is_some() {
            self.ca_data = ca_data;
        }
        if login_service != ServiceRef::default() {
            self.login_service = login_service;
        }
        Self { certificate: None, certificate_data, key: None, key_data, login, expiration_seconds, retry_at, ..self }
    }

    /// Removes the data that a login stored.
    pub(super) fn log_out(&mut self) {
        (self.ca_data, self.certificate_data, self.key_data) = (None, None, None);
        self.end_login();
    }

    /// Removes the data that all logins stored.
    pub(super) fn log_out_of_all(&mut self) {
        if self.is_login() {
            self.log_out();
        }
        self.impersonations.clear();
    }

    /// Reads the client certificate, if there is one that can be read.
    pub(super) fn read_certificate(&self, folder: &Path) -> Option<Vec<u8>> {
        match (&self.certificate_data, &self.certificate) {
            (Some(data), _) => Some(data.0.clone()),
            (None, Some(path)) => fs::read(folder.join(path)).ok(),
            (None, None) => None,
        }
    }

    /// Removes the data, and returns for each field of them whether it was there.
    pub(super) fn omit_data(&mut self) -> [(&'static str, bool); 3] {
        [
            ("caData", &mut self.ca_data),
            ("certificateData", &mut self.certificate_data),
            ("keyData", &mut self.key_data),
        ]
        .map(|(name, data)| (name, data.take().is_some()))
    }
}
