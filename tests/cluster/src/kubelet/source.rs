//! The sources of a pod's containers and volumes: the pod itself, Secrets, ConfigMaps and tokens.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, EnvVar, EnvVarSource, Pod, Secret, ServiceAccount, ServiceAccountTokenProjection,
};
use kube::api::PostParams;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

/// The entries of a Secret or a ConfigMap.
pub(super) type Entries = BTreeMap<String, Vec<u8>>;

/// Reads the sources of one pod.
pub(super) struct Source {
    client: Client,
    pub(super) pod: Pod,
    /// The pod's address.
    address: String,
    tokens: BTreeMap<String, Token>,
}

struct Token {
    text: Vec<u8>,
    renew: Instant,
}

impl Source {
    pub(super) const fn new(client: Client, pod: Pod, address: String) -> Self {
        Self { client, pod, address, tokens: BTreeMap::new() }
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// An API of a kind in the pod's namespace.
    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.pod.namespace().unwrap_or_default())
    }

    /// The entries of a Secret, or `None` if it is missing and `optional`.
    pub(super) async fn secret(&self, name: &str, optional: bool) -> Result<Option<Entries>> {
        let secret: Option<Secret> = self.get("Secret", name, optional).await?;
        Ok(secret
            .map(|secret| secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect()))
    }

    /// The entries of a ConfigMap, or `None` if it is missing and `optional`.
    pub(super) async fn config_map(&self, name: &str, optional: bool) -> Result<Option<Entries>> {
        let map: Option<ConfigMap> = self.get("ConfigMap", name, optional).await?;
        Ok(map.map(|map| {
            let text = map.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
            let binary = map.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
            text.chain(binary).collect()
        }))
    }

    /// A token of the pod's service account, which is bound to the pod and renewed before it expires.
    pub(super) async fn token(&mut self, projection: &ServiceAccountTokenProjection) -> Result<Vec<u8>> {
        let audience = projection.audience.clone().unwrap_or_default();
        if let Some(token) = self.tokens.get(&audience)
            && Instant::now() < token.renew
        {
            return Ok(token.text.clone());
        }
        let seconds = projection.expiration_seconds.unwrap_or(3600);
        let request = self.token_request(&audience, seconds);
        let api: Api<ServiceAccount> = self.api();
        let answer = api.create_token_request(self.account(), &PostParams::default(), &request).await;
        let answer = answer.with_context(|| format!("failed to get a token of {}", self.account()))?;
        let text = answer.status.context("the token is missing")?.token.into_bytes();
        // As the real kubelet, renew at 80 % of the lifetime.
        let renew = Instant::now() + Duration::from_secs(u64::try_from(seconds)? * 4 / 5);
        self.tokens.insert(audience, Token { text: text.clone(), renew });
        Ok(text)
    }

    /// A field of the pod, by its path in environment variables and downward API volumes.
    pub(super) fn field(&self, path: &str) -> Result<String> {
        let metadata = &self.pod.metadata;
        let spec = self.pod.spec.as_ref().context("the pod has no spec")?;
        let value = match path {
            "metadata.name" => metadata.name.clone(),
            "metadata.namespace" => metadata.namespace.clone(),
            "metadata.uid" => metadata.uid.clone(),
            "spec.nodeName" => spec.node_name.clone(),
            "spec.serviceAccountName" => spec.service_account_name.clone(),
            // As in the pod's status. Only the API server reaches it, through the kubelet's proxy.
            "status.podIP" | "status.podIPs" => Some(self.address.clone()),
            "status.hostIP" => Some("127.0.0.1".into()),
            _ => {
                let (map, rest) = path
                    .strip_prefix("metadata.labels['")
                    .map(|rest| (&metadata.labels, rest))
                    .or_else(|| Some((&metadata.annotations, path.strip_prefix("metadata.annotations['")?)))
                    .with_context(|| format!("the field {path} is not supported"))?;
                map.as_ref().and_then(|map| map.get(rest.trim_end_matches("']")).cloned())
            }
        };
        Ok(value.unwrap_or_default())
    }

    /// The value of an environment variable, or `None` if its source is optional and missing.
    pub(super) async fn variable(&self, variable: &EnvVar) -> Result<Option<String>> {
        match &variable.value_from {
            None => Ok(Some(variable.value.clone().unwrap_or_default())),
            Some(source) => {
                self.value(source).await.with_context(|| format!("failed to resolve the variable {}", variable.name))
            }
        }
    }

    async fn value(&self, source: &EnvVarSource) -> Result<Option<String>> {
        let (entries, key, optional) = if let Some(field) = &source.field_ref {
            return self.field(&field.field_path).map(Some);
        } else if let Some(key) = &source.secret_key_ref {
            let optional = key.optional.unwrap_or(false);
            (self.secret(&key.name, optional).await?, &key.key, optional)
        } else if let Some(key) = &source.config_map_key_ref {
            let optional = key.optional.unwrap_or(false);
            (self.config_map(&key.name, optional).await?, &key.key, optional)
        } else {
            bail!("only fields of the pod, Secrets and ConfigMaps can be read");
        };
        match entries.and_then(|mut entries| entries.remove(key)) {
            Some(value) => Ok(Some(String::from_utf8(value)?)),
            None if optional => Ok(None),
            None => bail!("the key {key} is missing"),
        }
    }

    async fn get<K>(&self, kind: &str, name: &str, optional: bool) -> Result<Option<K>>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        let found = self.api::<K>().get_opt(name).await.with_context(|| format!("failed to read the {kind} {name}"))?;
        if found.is_none() && !optional {
            bail!("the {kind} {name} is missing");
        }
        Ok(found)
    }

    fn account(&self) -> &str {
        let account = self.pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
        account.unwrap_or("default")
    }

    fn token_request(&self, audience: &str, seconds: i64) -> TokenRequest {
        let audiences = if audience.is_empty() { Vec::new() } else { vec![audience.to_owned()] };
        let pod = BoundObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: self.pod.metadata.name.clone(),
            uid: self.pod.metadata.uid.clone(),
        };
        let spec = TokenRequestSpec { audiences, bound_object_ref: Some(pod), expiration_seconds: Some(seconds) };
        TokenRequest { spec, ..TokenRequest::default() }
    }
}
