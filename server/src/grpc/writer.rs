//! Writes `ReplicaCount` objects for Set and Unset. Each write ends once the API server has stored it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use json_patch::{AddOperation, PatchOperation, RemoveOperation, ReplaceOperation, TestOperation, jsonptr::PointerBuf};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::error::Error;
use crate::{
    resources::{
        FIELD_MANAGER, Lenient, OVERRIDE_SET_BY, RESTORE, ReplicaCount, ReplicaCountSpec, ReplicaCountState, SET_AT,
        SET_BY, TargetKey, Uid, api_errors,
    },
    runtime::client::post_params,
};

/// The most attempts of a Set that others' writes keep interrupting.
pub(super) const MAX_ATTEMPTS: usize = 8;

/// The longest time that a Set or Unset may take altogether. A caller that waits longer gives up and tries again.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// The parameters of a write.
#[derive(Clone, Copy)]
pub(super) struct Write<'a> {
    pub(super) key: &'a TargetKey,
    pub(super) user: &'a str,
    /// Whether it writes the override, and leaves the lasting count as it is.
    pub(super) is_override: bool,
    /// The resource version that the stored object must have, if any is required.
    pub(super) version: Option<u64>,
    pub(super) dry_run: bool,
}

/// Writes `ReplicaCount` objects.
#[derive(Clone)]
pub(super) struct ReplicaCountWriter {
    client: Client,
}

impl ReplicaCountWriter {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Reads the `ReplicaCount` that has the name of a target's; it may belong to another target.
    pub(super) async fn read(&self, key: &TargetKey) -> Result<Option<ReplicaCount>, Error> {
        match served(self.counts(key).get(&key.replica_count_name()).await)? {
            Ok(count) => Ok(Some(count.read()?)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Creates a `ReplicaCount`; `None` if one exists by now.
    pub(super) async fn create(
        &self,
        write: Write<'_>,
        spec: ReplicaCountSpec,
    ) -> Result<Option<ReplicaCountState>, Error> {
        let Write { key, user, is_override, dry_run, .. } = write;
        let mut count = ReplicaCount::new(&key.replica_count_name(), spec);
        let mut annotations = BTreeMap::from([(SET_BY, user.to_owned()), (SET_AT, Timestamp::now().to_string())]);
        if is_override {
            annotations.insert(OVERRIDE_SET_BY, user.to_owned());
        }
        count.metadata.annotations =
            Some(annotations.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        let params = kube::api::PostParams { dry_run, ..post_params() };
        match served(self.counts(key).create(&params, &count.into()).await)? {
            Ok(stored) => Ok(Some(stored.read()?.into())),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
            Err(kube::Error::Api(status)) if api_errors::is_namespace_missing(&status) => {
                Err(Error::NamespaceNotFound(key.namespace.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces the spec. Returns `None` if the spec has changed since `existing` was read, or if the object is gone.
    /// So the old count in the answer is exact.
    ///
    /// The condition is the generation: unlike the resource version, it stays when the status is written.
    pub(super) async fn replace(
        &self,
        write: Write<'_>,
        existing: &ReplicaCountState,
        spec: &ReplicaCountSpec,
    ) -> Result<Option<ReplicaCountState>, Error> {
        let Write { key, user, is_override, version, dry_run } = write;
        let mut operations = unchanged_since(existing, version);
        operations.push(replace_spec(spec)?);
        let set_by = if is_override { OVERRIDE_SET_BY } else { SET_BY };
        operations.extend(annotate(existing.annotated, &[(set_by, user), (SET_AT, &Timestamp::now().to_string())]));
        let restore = ["metadata", "annotations", RESTORE];
        if existing.restore.is_some() {
            // Somebody asked for the count from before, and this Set is later.
            operations.push(PatchOperation::Remove(RemoveOperation { path: PointerBuf::from_tokens(restore) }));
        } else if existing.annotated {
            // A restore that the index does not know yet would end the management that this Set wants.
            operations.push(test(restore, Value::Null));
        }
        let patch: Patch<()> = Patch::Json(json_patch::Patch(operations));
        let params = PatchParams { dry_run, ..PatchParams::apply(FIELD_MANAGER) };
        match served(self.counts(key).patch(&key.replica_count_name(), &params, &patch).await)? {
            Ok(stored) => Ok(Some(stored.read()?.into())),
            Err(kube::Error::Api(status)) if status.is_not_found() || api_errors::is_failed_test(&status) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the count from before the lasting one, and asks the leader to put it in place and then to delete the object.
    ///
    /// The leader alone writes counts of targets. So neither a late correction nor one of an index that lags undoes this
    /// one. The annotation counts for one generation only: each later change of the spec cancels it for good.
    ///
    /// Returns `None` if the object has changed since it was read, or is gone.
    pub(super) async fn restore(
        &self,
        key: &TargetKey,
        count: &ReplicaCountState,
        replicas: i32,
        user: &str,
        version: Option<u64>,
    ) -> Result<Option<ReplicaCountState>, Error> {
        let spec = ReplicaCountSpec { replicas, override_: None, ..count.spec.clone() };
        let mut operations = unchanged_since(count, version);
        let mut generation = count.generation.unwrap_or_default();
        if spec != count.spec {
            operations.push(replace_spec(&spec)?);
            generation = generation.saturating_add(1);
        }
        let restore = format!("{generation} {user}");
        operations.extend(annotate(count.annotated, &[(RESTORE, &restore), (SET_AT, &Timestamp::now().to_string())]));
        let patch: Patch<()> = Patch::Json(json_patch::Patch(operations));
        let params = PatchParams::apply(FIELD_MANAGER);
        match served(self.counts(key).patch(&key.replica_count_name(), &params, &patch).await)? {
            Ok(stored) => Ok(Some(stored.read()?.into())),
            Err(kube::Error::Api(status)) if status.is_not_found() || api_errors::is_failed_test(&status) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a `ReplicaCount`. Returns false if another has taken its place, or if it has another version than the
    /// given one.
    pub(super) async fn delete(&self, key: &TargetKey, uid: &Uid, version: Option<u64>) -> Result<bool, Error> {
        let resource_version = version.map(|version| version.to_string());
        let preconditions = Preconditions { uid: Some(uid.to_string()), resource_version };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match served(self.counts(key).delete(&key.replica_count_name(), &params).await)? {
            // kube reads an answer only after the API server has accepted the request.
            Ok(_) | Err(kube::Error::SerdeError(_)) => Ok(true),
            Err(kube::Error::Api(status)) if status.is_not_found() => Err(Error::NotManaged(key.clone())),
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn counts(&self, key: &TargetKey) -> Api<Lenient<ReplicaCount>> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }
}

/// Ends the call if the API server serves no `ReplicaCount`s. Its answer looks like that about a missing object.
fn served<T>(answer: Result<T, kube::Error>) -> Result<Result<T, kube::Error>, Error> {
    match answer {
        Err(kube::Error::Api(status)) if api_errors::is_resource_missing(&status) => Err(Error::NotServed),
        answer => Ok(answer),
    }
}

/// Bounds the time of a Set or Unset.
pub(super) async fn within_timeout<T>(write: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let timed_out = |_| Error::Unreachable(format!("no answer within {WRITE_TIMEOUT:?}"));
    timeout(WRITE_TIMEOUT, write).await.map_err(timed_out)?
}

/// Requires that the spec is as it was read, and, if a resource version is given, all else as well.
fn unchanged_since(count: &ReplicaCountState, version: Option<u64>) -> Vec<PatchOperation> {
    let mut tests = vec![
        test(["metadata", "uid"], count.uid.to_string().into()),
        test(["metadata", "generation"], count.generation.into()),
    ];
    tests.extend(version.map(|version| test(["metadata", "resourceVersion"], version.to_string().into())));
    tests
}

fn test<const N: usize>(path: [&str; N], value: Value) -> PatchOperation {
    PatchOperation::Test(TestOperation { path: PointerBuf::from_tokens(path), value })
}

fn add<const N: usize>(path: [&str; N], value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: PointerBuf::from_tokens(path), value })
}

fn replace_spec(spec: &ReplicaCountSpec) -> Result<PatchOperation, Error> {
    let value = serde_json::to_value(spec).map_err(|error| Error::Refused(error.to_string()))?;
    Ok(PatchOperation::Replace(ReplaceOperation { path: PointerBuf::from_tokens(["spec"]), value }))
}

/// Adds annotations to an object. If it had none, the patch adds the whole map, and requires that there is still none.
fn annotate(has_annotations: bool, added: &[(&str, &str)]) -> Vec<PatchOperation> {
    if has_annotations {
        return added.iter().map(|(name, value)| add(["metadata", "annotations", name], (*value).into())).collect();
    }
    let annotations = ["metadata", "annotations"];
    vec![test(annotations, Value::Null), add(annotations, json!(added.iter().copied().collect::<BTreeMap<_, _>>()))]
}

#[cfg(test)]
mod tests {
    use contract::names::reasons;
    use hyper::{Request, Response};
    use kube::client::Body;

    use super::*;
    use crate::{
        grpc::error::outcome,
        resources::fixtures::{ReplicaCountBuilder, deployment_key},
    };

    /// A writer whose API server answers each request with a 404.
    fn writer(body: &'static str) -> ReplicaCountWriter {
        let answer = tower::service_fn(move |_: Request<Body>| async move {
            Ok::<_, tower::BoxError>(Response::builder().status(404).body(Body::from(body.as_bytes().to_vec()))?)
        });
        ReplicaCountWriter::new(Client::new(answer, "default"))
    }

    #[tokio::test]
    async fn a_missing_crd_is_not_taken_for_a_missing_object() {
        let no_object =
            r#"{"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "no"}"#;
        for (name, body, expected) in [
            ("no CRD", "404 page not found\n", [reasons::REPLICA_COUNTS_NOT_SERVED; 5]),
            ("no object", no_object, ["DONE", reasons::API_SERVER_FAILED, "DONE", "DONE", reasons::NOT_MANAGED]),
        ] {
            let (writer, key) = (self::writer(body), deployment_key("web"));
            let count = ReplicaCountBuilder::new("web").state();
            let write = Write { key: &key, user: "alice", is_override: false, version: None, dry_run: false };
            let outcomes = [
                outcome(&writer.read(&key).await),
                outcome(&writer.create(write, count.spec.clone()).await),
                outcome(&writer.replace(write, &count, &count.spec).await),
                outcome(&writer.restore(&key, &count, 2, "alice", None).await),
                outcome(&writer.delete(&key, &count.uid, None).await),
            ];
            assert_eq!(outcomes, expected, "{name}");
        }
    }

    #[test]
    fn an_annotation_is_added_to_those_that_are_there() {
        let path = "/metadata/annotations/replica-count-manager.io~1set-by";
        let added = json!([{"op": "add", "path": path, "value": "alice"}]);
        assert_eq!(json!(annotate(true, &[(SET_BY, "alice")])), added);
        let first = json!([
            {"op": "test", "path": "/metadata/annotations", "value": null},
            {"op": "add", "path": "/metadata/annotations", "value": {"replica-count-manager.io/set-by": "alice"}},
        ]);
        assert_eq!(json!(annotate(false, &[(SET_BY, "alice")])), first);
    }
}
