//! The metadata of a target, read and patched whatever is in it: an entry of managedFields that does not fit our types
//! must not keep a count from its applier.

use std::fmt;

use kube::{
    Client, Error, Resource,
    api::{GetParams, Patch, PatchParams, Request},
    core::DynamicObject,
};
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::Value;

use crate::resources::{Lenient, Repair, TargetKey, TargetKind, Uid, parse_resource_version};

/// The metadata of one target.
pub struct TargetMetadata<'a> {
    client: &'a Client,
    request: Request,
    name: &'a str,
}

/// What the metadata say about the owners of fields.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Owned {
    uid: String,
    resource_version: String,
    /// As they were sent.
    pub managed_fields: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    metadata: Owned,
}

impl Repair for Object {}

impl Owned {
    /// The UID of the target.
    pub fn uid(&self) -> Uid {
        Uid::from(&*self.uid)
    }

    /// The resource version of the target.
    pub fn version(&self) -> u64 {
        parse_resource_version(&self.resource_version)
    }
}

impl<'a> TargetMetadata<'a> {
    /// That of a target.
    pub fn new(client: &'a Client, key: &'a TargetKey, kind: &TargetKind) -> Self {
        let request = Request::new(DynamicObject::url_path(&kind.resource(), Some(&key.namespace)));
        Self { client, request, name: &key.name }
    }

    /// Reads it.
    pub async fn get(&self) -> Result<Owned, Error> {
        let request = self.request.get_metadata(self.name, &GetParams::default()).map_err(Error::BuildRequest)?;
        read(self.client.request(request).await?)
    }

    /// Patches it, and returns what is stored.
    pub async fn patch(&self, params: &PatchParams, patch: &Patch<()>) -> Result<Owned, Error> {
        read(self.send(params, patch).await?)
    }

    /// Tries a patch without storing anything.
    pub async fn try_patch<P: Serialize + fmt::Debug>(
        &self,
        params: PatchParams,
        patch: &Patch<P>,
    ) -> Result<(), Error> {
        self.send::<_, IgnoredAny>(&PatchParams { dry_run: true, ..params }, patch).await.map(drop)
    }

    async fn send<P, T>(&self, params: &PatchParams, patch: &Patch<P>) -> Result<T, Error>
    where
        P: Serialize + fmt::Debug,
        T: DeserializeOwned,
    {
        let request = self.request.patch_metadata(self.name, params, patch).map_err(Error::BuildRequest)?;
        self.client.request(request).await
    }
}

/// Bounds its depth.
fn read(object: Lenient<Object>) -> Result<Owned, Error> {
    let object = object.read().map_err(|unreadable| Error::SerdeError(serde::de::Error::custom(unreadable.reason)))?;
    Ok(object.metadata)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn odd_owners_leave_the_others_readable() {
        let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
        let odd = json!([{"manager": 1}, 2, {"manager": "helm", "time": "9999-12-31T00:00:00Z"}]);
        let text = format!(
            r#"{{"metadata": {{"uid": "u", "resourceVersion": "7", "creationTimestamp": 1, "labels": {deep},
                "managedFields": {odd}}}}}"#
        );
        let owned = read(serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!((owned.uid(), owned.version(), json!(owned.managed_fields)), (Uid::from("u"), 7, odd));
    }
}
