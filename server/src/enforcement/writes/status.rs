//! The write of a status.

use std::{sync::Arc, time::Duration};

use json_patch::{AddOperation, Patch, PatchOperation, TestOperation, jsonptr::PointerBuf};
use kube::{
    Api, Client, Resource,
    api::{self, PatchParams},
};
use tokio::time::timeout;
use tracing::debug;

use super::super::failure::Cause;
use crate::{
    resources::{
        FIELD_MANAGER, Lenient, ReplicaCount, ReplicaCountStatus, TargetKey, Uid, api_errors::is_failed_test,
        resource_version,
    },
    telemetry,
};

/// How long the write of one status may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The result of a status write.
#[derive(Debug)]
pub enum StatusAnswer {
    /// The API server has stored the status.
    Stored {
        /// The status.
        status: Arc<ReplicaCountStatus>,
        /// The object's resource version with it.
        version: u64,
        /// Whether the API server stored another status: a webhook or an older CRD changed it.
        was_changed: bool,
    },
    /// The object is newer than the one that the status was built for.
    Refused {
        /// The status that the object has.
        status: Arc<ReplicaCountStatus>,
        /// The object's resource version.
        version: u64,
    },
    /// The API server has not stored the status, or did not say so.
    Failed {
        /// Whose fault it is.
        cause: Cause,
        /// Why, with all causes.
        error: String,
        /// The status, if the API server may have stored it.
        status: Option<Arc<ReplicaCountStatus>>,
    },
    /// There is no such object any more.
    Gone,
}

/// A status to write, and the object that it is for.
#[derive(Debug)]
pub struct StatusWrite {
    /// The status.
    pub status: Arc<ReplicaCountStatus>,
    /// The object's UID.
    pub uid: Uid,
    /// The object's resource version: the precondition of the write.
    pub version: u64,
}

/// Writes statuses.
#[derive(Clone)]
pub struct StatusWriter {
    client: Client,
}

impl StatusWriter {
    /// Writes with the account of a client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Replaces the status of the very object that it was built for.
    pub async fn write(&self, key: &TargetKey, write: StatusWrite) -> StatusAnswer {
        let status = write.status.clone();
        match timeout(TIMEOUT, self.replace(key, write)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let (cause, error) = (Cause::of(&error), telemetry::chain(&error));
                StatusAnswer::Failed { cause, error, status: Some(status) }
            }
            Err(_) => {
                let error = format!("no answer within {TIMEOUT:?}");
                StatusAnswer::Failed { cause: Cause::NoAnswer, error, status: Some(status) }
            }
        }
    }

    async fn replace(&self, key: &TargetKey, write: StatusWrite) -> Result<StatusAnswer, kube::Error> {
        let counts: Api<Lenient<ReplicaCount>> = Api::namespaced(self.client.clone(), &key.namespace);
        let name = key.replica_count_name();
        let patch = patch(&write).map_err(kube::Error::SerdeError)?;
        let params = PatchParams::apply(FIELD_MANAGER);
        match counts.patch_status(&name, &params, &api::Patch::<()>::Json(patch)).await {
            Ok(count) => {
                let version = resource_version(count.meta());
                let was_changed = count.read().is_ok_and(|count| count.status.unwrap_or_default() != *write.status);
                Ok(StatusAnswer::Stored { status: write.status, version, was_changed })
            }
            Err(kube::Error::Api(gone)) if gone.is_not_found() => Ok(StatusAnswer::Gone),
            Err(kube::Error::Api(refused)) if is_failed_test(&refused) || refused.is_conflict() => {
                debug!(target = %key, problem = refused.message, "status refused");
                self.refused(&counts, &name, &write).await
            }
            Err(error) => Err(error),
        }
    }

    /// Finds out why the API server refused a status.
    async fn refused(
        &self,
        counts: &Api<Lenient<ReplicaCount>>,
        name: &str,
        write: &StatusWrite,
    ) -> Result<StatusAnswer, kube::Error> {
        let count = counts.get_opt(name).await?;
        let is_same =
            |count: &Lenient<ReplicaCount>| count.meta().uid.as_deref().map(Uid::from).as_ref() == Some(&write.uid);
        let Some(count) = count.filter(is_same) else { return Ok(StatusAnswer::Gone) };
        let version = resource_version(count.meta());
        if version == write.version {
            let error = "refused without a newer object".to_owned();
            return Ok(StatusAnswer::Failed { cause: Cause::Refused, error, status: None });
        }
        Ok(StatusAnswer::Refused {
            status: Arc::new(count.read().ok().and_then(|count| count.status).unwrap_or_default()),
            version,
        })
    }
}

/// The patch that replaces the status of one version of an object.
fn patch(write: &StatusWrite) -> Result<Patch, serde_json::Error> {
    let metadata = |field: &str| PointerBuf::from_tokens(["metadata", field]);
    let test =
        |field: &str, value: String| PatchOperation::Test(TestOperation { path: metadata(field), value: value.into() });
    Ok(Patch(vec![
        test("uid", write.uid.to_string()),
        test("resourceVersion", write.version.to_string()),
        PatchOperation::Add(AddOperation {
            path: PointerBuf::from_tokens(["status"]),
            value: serde_json::to_value(&*write.status)?,
        }),
    ]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_stored_in_the_version_of_the_object_that_it_was_built_for() {
        let status = Arc::new(ReplicaCountStatus { drifts: 5, ..ReplicaCountStatus::default() });
        let patch = patch(&StatusWrite { status, uid: "u".into(), version: 7 }).unwrap();
        struct Row {
            name: &'static str,
            uid: &'static str,
            version: &'static str,
            is_stored: bool,
        }
        for row in [
            Row { name: "the same version", uid: "u", version: "7", is_stored: true },
            Row { name: "another server has written a status since", uid: "u", version: "8", is_stored: false },
            Row { name: "another object of the same name", uid: "v", version: "7", is_stored: false },
        ] {
            let mut object = json!({"metadata": {"uid": row.uid, "resourceVersion": row.version}});
            assert_eq!(json_patch::patch(&mut object, &patch).is_ok(), row.is_stored, "{}", row.name);
            assert_eq!(object["status"]["drifts"] == 5, row.is_stored, "{}", row.name);
        }
    }
}
