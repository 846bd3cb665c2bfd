//! Stores many objects directly in etcd.
//!
//! An API server stores a few hundred objects a second, so 100,000 objects would take it many minutes. The objects are
//! stored as JSON, which the API server reads for built-in and custom resources. Its watches send them like any other
//! write. The API server neither validates nor completes them, so they should be copies of an object that the API
//! server has stored.

use std::hash::{DefaultHasher, Hash, Hasher};

use anyhow::{Context, Result};
use futures::{TryStreamExt, stream};
use k8s_openapi::ByteString;
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// Concurrent writes, which etcd stores together. Each object has its own transaction, because objects of one
/// transaction share a resource version. The API server never writes such objects, and a watch that resumes at their
/// version would miss some of them.
const CONCURRENCY: usize = 64;

impl Cluster {
    /// Stores objects under `/registry/<folder>/<namespace>/<name>`, each with its own [`uid`]. The folder of a built-in
    /// resource is its name, such as `deployments`. The folder of a custom resource begins with its group, such as
    /// `example.com/widgets`.
    ///
    /// # Errors
    ///
    /// If an object has no name or no namespace, or if etcd refuses a write.
    pub async fn populate(&self, folder: &str, objects: impl IntoIterator<Item = Result<Value>>) -> Result<()> {
        let address = format!("http://127.0.0.1:{}", self.files().etcd);
        let etcd = Client::try_from(Config::new(address.parse()?))?;
        stream::iter(objects.into_iter().map(|object| put(folder, object?)))
            .try_for_each_concurrent(CONCURRENCY, |put| store(&etcd, put))
            .await
    }
}

/// The uid of an object that [`Cluster::populate`] stores, so that other objects can refer to it.
#[must_use]
pub fn uid(folder: &str, namespace: &str, name: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (folder, namespace, name).hash(&mut hasher);
    let number = hasher.finish();
    format!("00000000-0000-4000-{:04x}-{:012x}", number >> 48, number & 0xffff_ffff_ffff)
}

/// Builds the request that stores an object.
fn put(folder: &str, mut object: Value) -> Result<Value> {
    let metadata = object["metadata"].as_object_mut().context("an object has no metadata")?;
    // The API server takes the resource version from etcd's revision.
    metadata.remove("resourceVersion");
    let text = |field: &str| metadata.get(field).and_then(Value::as_str).with_context(|| format!("no {field}"));
    let [namespace, name] = [text("namespace")?.to_owned(), text("name")?.to_owned()];
    metadata.insert("uid".into(), uid(folder, &namespace, &name).into());
    let key = format!("/registry/{folder}/{namespace}/{name}");
    Ok(json!({"key": ByteString(key.into()), "value": ByteString(serde_json::to_vec(&object)?)}))
}

async fn store(etcd: &Client, put: Value) -> Result<()> {
    let body = serde_json::to_vec(&put)?;
    let request = http::Request::post("/v3/kv/put").header("content-type", "application/json").body(body)?;
    etcd.request_text(request).await.map(drop).context("etcd refused a write")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_stored_under_its_name_with_its_own_uid() {
        let object = json!({"metadata": {"namespace": "shop", "name": "web", "uid": "a", "resourceVersion": "7"}});
        let put = put("deployments", object).unwrap();
        let decoded = |field: &str| {
            let bytes: ByteString = serde_json::from_value(put[field].clone()).unwrap();
            String::from_utf8(bytes.0).unwrap()
        };
        assert_eq!(decoded("key"), "/registry/deployments/shop/web");
        let stored: Value = serde_json::from_str(&decoded("value")).unwrap();
        assert!(stored["metadata"].get("resourceVersion").is_none());
        assert_eq!(stored["metadata"]["uid"], uid("deployments", "shop", "web"));
        assert_ne!(uid("deployments", "shop", "web"), uid("deployments", "shop", "db"));
    }

    #[test]
    fn an_object_without_a_namespace_is_refused() {
        assert!(put("deployments", json!({"metadata": {"name": "web"}})).is_err());
    }
}
