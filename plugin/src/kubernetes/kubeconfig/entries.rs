//! The entries of a kubeconfig.
//!
//! kube's own types refuse files that kubectl accepts, such as a context without a cluster or an empty field, and accept
//! some that it refuses. In these types, a field that is absent, null or empty is empty.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use serde::{Deserialize, Deserializer, de::IntoDeserializer};
use serde_json::Value;

use crate::impersonation::Impersonation;

/// The content of a file.
#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Kubeconfig {
    #[serde(deserialize_with = "or_empty")]
    pub(super) kind: String,
    #[serde(deserialize_with = "or_empty", rename = "apiVersion")]
    pub(super) api_version: String,
    #[serde(deserialize_with = "or_empty")]
    pub(super) current_context: String,
    #[serde(deserialize_with = "or_empty")]
    pub(super) contexts: Vec<NamedContext>,
    #[serde(deserialize_with = "or_empty")]
    pub(super) clusters: Vec<NamedCluster>,
    #[serde(deserialize_with = "or_empty")]
    pub(super) users: Vec<NamedUser>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NamedContext {
    #[serde(deserialize_with = "or_empty")]
    pub(super) name: String,
    #[serde(deserialize_with = "or_empty")]
    pub(super) context: Context,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Context {
    #[serde(deserialize_with = "or_empty")]
    pub(super) cluster: String,
    #[serde(deserialize_with = "or_empty")]
    pub(super) user: String,
    #[serde(deserialize_with = "or_empty")]
    pub(super) namespace: String,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NamedCluster {
    #[serde(deserialize_with = "or_empty")]
    pub(super) name: String,
    #[serde(deserialize_with = "or_empty")]
    pub(super) cluster: Cluster,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Cluster {
    #[serde(deserialize_with = "or_empty")]
    pub(super) server: String,
    #[serde(deserialize_with = "or_empty")]
    pub(super) tls_server_name: String,
    #[serde(deserialize_with = "boolean")]
    pub(super) insecure_skip_tls_verify: bool,
    #[serde(deserialize_with = "or_empty")]
    pub(super) certificate_authority: String,
    #[serde(deserialize_with = "base64")]
    pub(super) certificate_authority_data: Vec<u8>,
    #[serde(deserialize_with = "or_empty")]
    pub(super) proxy_url: String,
    #[serde(deserialize_with = "boolean")]
    pub(super) disable_compression: bool,
    #[serde(deserialize_with = "or_empty")]
    pub(super) extensions: Vec<Extension>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Extension {
    #[serde(deserialize_with = "or_empty")]
    pub(super) name: String,
    pub(super) extension: Value,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NamedUser {
    #[serde(deserialize_with = "or_empty")]
    pub(super) name: String,
    #[serde(deserialize_with = "or_empty")]
    pub(super) user: User,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct User {
    #[serde(deserialize_with = "or_empty")]
    pub(super) client_certificate: String,
    #[serde(deserialize_with = "base64")]
    pub(super) client_certificate_data: Vec<u8>,
    #[serde(deserialize_with = "or_empty")]
    pub(super) client_key: String,
    #[serde(deserialize_with = "base64")]
    pub(super) client_key_data: Vec<u8>,
    #[serde(deserialize_with = "or_empty")]
    pub(super) token: String,
    #[serde(deserialize_with = "or_empty", rename = "tokenFile")]
    pub(super) token_file: String,
    #[serde(deserialize_with = "or_empty")]
    pub(super) username: String,
    #[serde(deserialize_with = "or_empty")]
    pub(super) password: String,
    #[serde(deserialize_with = "or_empty", rename = "as")]
    pub(super) impersonate: String,
    #[serde(deserialize_with = "or_empty", rename = "as-uid")]
    pub(super) impersonate_uid: String,
    #[serde(deserialize_with = "or_empty", rename = "as-groups")]
    pub(super) impersonate_groups: Vec<String>,
    #[serde(deserialize_with = "or_empty", rename = "as-user-extra")]
    pub(super) impersonate_extra: BTreeMap<String, Vec<String>>,
    pub(super) auth_provider: Option<AuthProvider>,
    pub(super) exec: Option<Exec>,
}

impl User {
    /// The identity that the user takes on.
    pub(super) fn impersonation(&self) -> Impersonation {
        Impersonation {
            user: self.impersonate.clone(),
            groups: self.impersonate_groups.clone(),
            uid: self.impersonate_uid.clone(),
            extra: self.impersonate_extra.clone(),
        }
    }

    /// Lets the user take on an identity.
    pub(super) fn impersonate(&mut self, impersonation: &Impersonation) {
        self.impersonate = impersonation.user.clone();
        self.impersonate_groups = impersonation.groups.clone();
        self.impersonate_uid = impersonation.uid.clone();
        self.impersonate_extra = impersonation.extra.clone();
    }
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct AuthProvider {
    #[serde(deserialize_with = "or_empty")]
    pub(super) name: String,
    #[serde(deserialize_with = "or_empty")]
    pub(super) config: BTreeMap<String, String>,
}

/// A credential program, such as `aws eks get-token`.
#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Exec {
    #[serde(deserialize_with = "or_empty")]
    pub(crate) api_version: String,
    #[serde(deserialize_with = "or_empty")]
    pub(crate) command: String,
    #[serde(deserialize_with = "or_empty")]
    pub(crate) args: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    pub(crate) env: Vec<Variable>,
    #[serde(deserialize_with = "or_empty")]
    pub(crate) install_hint: String,
    #[serde(deserialize_with = "boolean")]
    pub(crate) provide_cluster_info: bool,
    #[serde(deserialize_with = "or_empty")]
    pub(crate) interactive_mode: String,
}

impl Exec {
    /// When the program may ask questions. Only the current version of the protocol has no default.
    pub(crate) fn mode(&self) -> &str {
        let is_older = matches!(
            self.api_version.as_str(),
            "client.authentication.k8s.io/v1beta1" | "client.authentication.k8s.io/v1alpha1"
        );
        if self.interactive_mode.is_empty() && is_older { "IfAvailable" } else { &self.interactive_mode }
    }
}

/// A variable of a credential program's environment.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Variable {
    #[serde(deserialize_with = "or_empty")]
    pub(crate) name: String,
    #[serde(deserialize_with = "or_empty")]
    pub(crate) value: String,
}

fn or_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a boolean that is not quoted.
fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Option::<Value>::deserialize(deserializer)? {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(is_set)) => Ok(is_set),
        Some(_) => Err(serde::de::Error::custom("this is no boolean")),
    }
}

/// Decodes base64, which may be broken into lines.
fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default().replace(['\r', '\n'], "");
    // The error of the decoder quotes a part of the text, which may be a key.
    let wrong = |_: serde::de::value::Error| serde::de::Error::custom("this is not base64");
    ByteString::deserialize(text.into_deserializer()).map(|bytes| bytes.0).map_err(wrong)
}
