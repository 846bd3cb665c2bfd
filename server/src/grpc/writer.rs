//! Set and Unset: the writes to `ReplicaCount` objects, which answer only once the API server has stored them.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    core::{DynamicObject, Status},
};
use serde_json::{Value, json};

use super::{
    authz::{Action, Authorizer},
    conflicts,
    error::Error,
    request::{RequestedCount, Set},
};
use crate::{
    enforcement::writes::scale,
    index::TargetSnapshot,
    resources::{
        FIELD_MANAGER, Override, ReplicaCount, ReplicaCountSpec, ReplicaCountState, SET_BY, ScaleTargetRef, TargetKey,
        TargetKind, TargetState,
    },
    tls::Identity,
};

/// How often a write is tried again after somebody else wrote in between.
const MAX_ATTEMPTS: usize = 8;

/// A stored Set.
pub(super) struct Stored {
    /// The object as stored.
    pub(super) count: ReplicaCountState,
    /// The desired count before, in replicas; `None` if the target was not managed.
    pub(super) old_desired: Option<i32>,
    /// Whether an override that still lasted was cleared.
    pub(super) override_cleared: bool,
    /// The target, if it exists.
    pub(super) target: Option<Arc<TargetState>>,
}

/// Writes `ReplicaCount` objects.
#[derive(Clone)]
pub(super) struct ReplicaCountWriter {
    client: Client,
    authorizer: Authorizer,
}

impl ReplicaCountWriter {
    pub(super) fn new(client: Client, authorizer: Authorizer) -> Self {
        Self { client, authorizer }
    }

    /// The API server.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Refuses a caller who may not set: change a `ReplicaCount` that is there, or create one.
    pub(super) async fn check(&self, who: &Arc<Identity>, key: &TargetKey, managed: bool) -> Result<(), Error> {
        let action = match managed {
            true => Action::on_counts("update", &key.namespace, &key.replica_count_name()),
            // RBAC knows no names of what is not there yet.
            false => Action::on_counts("create", &key.namespace, ""),
        };
        self.authorizer.check(who, action).await
    }

    /// Stores a Set, given what the cache knows.
    pub(super) async fn set(
        &self,
        seen: TargetSnapshot,
        kind: &TargetKind,
        set: &Set,
        who: &Arc<Identity>,
    ) -> Result<Stored, Error> {
        let target = match seen.target {
            Some(target) => Some(target),
            None => self.target(&set.key, kind).await?.map(Arc::new),
        };
        let observed = target.as_ref().and_then(|target| target.replicas);
        if target.is_none() && !set.allow_missing {
            return Err(Error::TargetNotFound(set.key.clone()));
        }
        check_expected(set, observed)?;
        conflicts::check_controller(&set.key, target.as_deref())?;
        if !set.force {
            conflicts::check_autoscaler(&set.key, seen.autoscaler.as_deref())?;
        }
        let mut existing = seen.count;
        for _ in 0..MAX_ATTEMPTS {
            self.check(who, &set.key, existing.is_some()).await?;
            let stored = match &existing {
                Some(count) => self.replace(count, kind, set, observed, who).await?,
                None => self.create(kind, set, observed, who).await?,
            };
            let Some(count) = stored else {
                let count = self.counts(&set.key).get_opt(&set.key.replica_count_name()).await?;
                existing = count.map(|count| belongs(&set.key, &count).map(|()| Arc::new(count.into()))).transpose()?;
                continue;
            };
            let now = Timestamp::now();
            let before = existing.as_ref().map(|count| &count.spec);
            return Ok(Stored {
                count,
                old_desired: before.and_then(|spec| spec.desired(now)),
                override_cleared: set.until.is_none() && before.is_some_and(|spec| spec.active_override(now).is_some()),
                target,
            });
        }
        Err(Error::Contended(set.key.clone()))
    }

    /// Deletes a `ReplicaCount`, after putting back the count from before if asked to.
    pub(super) async fn unset(
        &self,
        count: &ReplicaCountState,
        key: &TargetKey,
        restore: Option<(Arc<TargetKind>, i32)>,
    ) -> Result<(), Error> {
        if let Some((kind, original)) = restore {
            // First the desired count, so that nobody corrects what is restored next.
            let spec = ReplicaCountSpec { replicas: original, override_: None, ..count.spec.clone() };
            let patch = patch(json!([
                {"op": "test", "path": "/metadata/uid", "value": count.uid.to_string()},
                {"op": "replace", "path": "/spec", "value": spec},
            ]))?;
            let params = PatchParams::apply(FIELD_MANAGER);
            match self.counts(key).patch(&key.replica_count_name(), &params, &patch).await {
                Ok(_) => {}
                Err(kube::Error::Api(gone)) if gone.is_not_found() => return Err(Error::NotManaged(key.clone())),
                Err(kube::Error::Api(other)) if is_failed_test(&other) => return Err(Error::Contended(key.clone())),
                Err(error) => return Err(error.into()),
            }
            self.scale(key, &kind, original).await?;
        }
        let preconditions = Preconditions { uid: Some(count.uid.to_string()), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match self.counts(key).delete(&key.replica_count_name(), &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(gone)) if gone.is_not_found() => Err(Error::NotManaged(key.clone())),
            Err(kube::Error::Api(other)) if other.is_conflict() => Err(Error::Contended(key.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the `ReplicaCount` of a target that the cache may not know yet.
    pub(super) async fn count(&self, key: &TargetKey) -> Result<Option<ReplicaCountState>, Error> {
        let count = self.counts(key).get_opt(&key.replica_count_name()).await?;
        Ok(count.filter(|count| belongs(key, count).is_ok()).map(ReplicaCountState::from))
    }

    /// Writes only if the spec is still the one that the caller is told was there before; `None` if it is not.
    ///
    /// The generation tells: unlike the resource version, it stays as it is when the status is written.
    async fn replace(
        &self,
        existing: &ReplicaCountState,
        kind: &TargetKind,
        set: &Set,
        observed: Option<i32>,
        who: &Identity,
    ) -> Result<Option<ReplicaCountState>, Error> {
        if !set.force {
            conflicts::check_managed_by(&set.key, existing)?;
        }
        let spec = spec_after(Some(&existing.spec), kind, set, observed)?;
        let mut operations = vec![
            json!({"op": "test", "path": "/metadata/uid", "value": existing.uid.to_string()}),
            json!({"op": "test", "path": "/metadata/generation", "value": existing.generation}),
            json!({"op": "replace", "path": "/spec", "value": spec}),
        ];
        operations.extend(set_by(existing.annotated, who));
        let operations = patch(operations.into())?;
        let params = PatchParams { dry_run: set.dry_run, ..PatchParams::apply(FIELD_MANAGER) };
        match self.counts(&set.key).patch(&set.key.replica_count_name(), &params, &operations).await {
            Ok(stored) => Ok(Some(stored.into())),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(kube::Error::Api(status)) if is_failed_test(&status) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// `None` if the object exists by now.
    async fn create(
        &self,
        kind: &TargetKind,
        set: &Set,
        observed: Option<i32>,
        who: &Identity,
    ) -> Result<Option<ReplicaCountState>, Error> {
        let mut count = ReplicaCount::new(&set.key.replica_count_name(), spec_after(None, kind, set, observed)?);
        count.metadata.annotations = Some(BTreeMap::from([(SET_BY.to_owned(), who.user.clone())]));
        let params = PostParams { dry_run: set.dry_run, field_manager: Some(FIELD_MANAGER.to_owned()) };
        match self.counts(&set.key).create(&params, &count).await {
            Ok(stored) => Ok(Some(stored.into())),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
            Err(kube::Error::Api(status)) if is_about_a_namespace(&status) => {
                Err(Error::NamespaceNotFound(set.key.namespace.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn target(&self, key: &TargetKey, kind: &TargetKind) -> Result<Option<TargetState>, Error> {
        let targets: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &key.namespace, &kind.resource());
        Ok(targets.get_opt(&key.name).await?.map(|target| TargetState::of(&target, kind)))
    }

    /// Sets a target's count, unless there is no target.
    async fn scale(&self, key: &TargetKey, kind: &TargetKind, replicas: i32) -> Result<(), Error> {
        match scale::patch(&self.client, key, kind, replicas).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(gone)) if gone.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn counts(&self, key: &TargetKey) -> Api<ReplicaCount> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }
}

/// Whether a 422 tells of a `test` that failed: a spec that the schema refuses has causes.
fn is_failed_test(status: &Status) -> bool {
    status.code == 422 && status.details.as_ref().is_none_or(|details| details.causes.is_empty())
}

/// Whether a `ReplicaCount` is that of a target: another one may share the name of the object.
fn belongs(key: &TargetKey, count: &ReplicaCount) -> Result<(), Error> {
    if count.target()? == *key {
        return Ok(());
    }
    let ScaleTargetRef { api_version, kind, .. } = &count.spec.scale_target_ref;
    let name = key.replica_count_name();
    let message = format!("ReplicaCount {name} belongs to another target of the same name: {api_version} {kind}");
    Err(Error::Precondition { reason: "NAME_TAKEN", message })
}

fn is_about_a_namespace(status: &Status) -> bool {
    status.is_not_found() && status.details.as_ref().is_some_and(|details| details.kind == "namespaces")
}

fn check_expected(set: &Set, observed: Option<i32>) -> Result<(), Error> {
    match set.expected {
        Some(expected) if observed != Some(expected) => {
            let now = observed.map_or("none".to_owned(), |count| count.to_string());
            let message = format!("{} has {now} replicas, not the expected {expected}", set.key);
            Err(Error::Precondition { reason: "UNEXPECTED_COUNT", message })
        }
        _ => Ok(()),
    }
}

/// The spec that a Set leads to.
fn spec_after(
    before: Option<&ReplicaCountSpec>,
    kind: &TargetKind,
    set: &Set,
    observed: Option<i32>,
) -> Result<ReplicaCountSpec, Error> {
    let missing = || Error::TargetNotFound(set.key.clone());
    let replicas = match set.wanted {
        RequestedCount::Exactly(replicas) => replicas,
        RequestedCount::Current => observed.ok_or_else(missing)?,
    };
    let original_replicas = before.map_or(observed, |spec| spec.original_replicas);
    let scale_target_ref = ScaleTargetRef {
        api_version: kind.api_version(),
        kind: set.key.kind.kind.to_string(),
        name: set.key.name.to_string(),
    };
    Ok(match set.until {
        None => ReplicaCountSpec {
            scale_target_ref,
            replicas,
            original_replicas,
            reason: set.reason.clone(),
            override_: None,
        },
        Some(until) => ReplicaCountSpec {
            scale_target_ref,
            // What a target was at before it was managed is what it goes back to.
            replicas: before.map(|spec| spec.replicas).or(observed).ok_or_else(missing)?,
            original_replicas,
            reason: before.map(|spec| spec.reason.clone()).unwrap_or_default(),
            override_: Some(Override {
                replicas,
                until: Time(until),
                reason: set.reason.clone(),
                then_unset: set.then_unset,
            }),
        },
    })
}

/// The annotation, added to those that are there. Where there were none, there must still be none.
fn set_by(annotated: bool, who: &Identity) -> Vec<Value> {
    match annotated {
        true => {
            let path = format!("/metadata/annotations/{}", SET_BY.replace('/', "~1"));
            vec![json!({"op": "add", "path": path, "value": who.user})]
        }
        false => vec![
            json!({"op": "test", "path": "/metadata/annotations", "value": null}),
            json!({"op": "add", "path": "/metadata/annotations", "value": {SET_BY: who.user}}),
        ],
    }
}

fn patch(operations: Value) -> Result<Patch<()>, Error> {
    serde_json::from_value(operations).map(Patch::Json).map_err(|error| Error::Refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(wanted: RequestedCount, until: Option<Timestamp>) -> Set {
        Set {
            key: TargetKey::new("shop", "", "", "web").unwrap(),
            wanted,
            expected: None,
            allow_missing: false,
            force: false,
            dry_run: false,
            until,
            then_unset: false,
            reason: "new".into(),
        }
    }

    fn counts(spec: &ReplicaCountSpec) -> (i32, Option<i32>, &str, Option<i32>) {
        (spec.replicas, spec.original_replicas, &spec.reason, spec.override_.as_ref().map(|over| over.replicas))
    }

    #[test]
    fn a_set_leads_to_its_spec() {
        let (until, kind) = (Some(Timestamp::MAX), TargetKind::apps()[0].clone());
        let first = spec_after(None, &kind, &set(RequestedCount::Exactly(5), None), Some(2)).unwrap();
        assert_eq!(counts(&first), (5, Some(2), "new", None));
        let again = spec_after(Some(&first), &kind, &set(RequestedCount::Exactly(7), None), Some(5)).unwrap();
        assert_eq!(counts(&again), (7, Some(2), "new", None));
        let over = spec_after(Some(&again), &kind, &set(RequestedCount::Exactly(9), until), Some(7)).unwrap();
        assert_eq!(counts(&over), (7, Some(2), "new", Some(9)));
        let cleared = spec_after(Some(&over), &kind, &set(RequestedCount::Current, None), Some(9)).unwrap();
        assert_eq!(counts(&cleared), (9, Some(2), "new", None));
        let unmanaged = spec_after(None, &kind, &set(RequestedCount::Exactly(9), until), Some(4)).unwrap();
        assert_eq!(counts(&unmanaged), (4, Some(4), "", Some(9)));
        assert!(spec_after(None, &kind, &set(RequestedCount::Current, None), None).is_err());
    }

    #[test]
    fn an_expected_count_must_be_there() {
        let set = Set { expected: Some(3), ..set(RequestedCount::Current, None) };
        assert!(check_expected(&set, Some(3)).is_ok());
        assert!(check_expected(&set, Some(4)).is_err());
        assert!(check_expected(&set, None).is_err());
    }
}
