//! The part of a `ReplicaCount` that the server stores.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::core::ObjectMeta;

use super::{
    field_owners::FieldOwners,
    field_path::FieldPath,
    names::{FIELD_MANAGER, RESTORE, SET_AT},
    replica_count::{Override, ReplicaCount, ReplicaCountSpec, ReplicaCountStatus},
    resource_version::resource_version,
    spec_writers::{SpecWriters, annotated_user, bounded},
    uid::Uid,
};

/// The part of a `ReplicaCount` that the server stores. The object as the API server sends it takes three times as much
/// memory.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaCountState {
    /// The UID.
    pub uid: Uid,
    /// The resource version, as a number.
    pub resource_version: u64,
    /// The generation of the spec.
    pub generation: Option<i64>,
    /// Whether it is being deleted and still waits for a finalizer. Then it manages nothing any more.
    pub deleting: bool,
    /// Whether it has annotations.
    pub annotated: bool,
    /// Who wrote each field of the spec. The writer of the lasting count is who set it.
    pub writers: SpecWriters,
    /// When the latest Set of the gRPC API was, as its annotation says.
    pub set_at: Option<Timestamp>,
    /// Who asked for the count from before. See [`Self::restoring`].
    pub restore: Option<RestoreRequest>,
    /// The tool that manages it and would undo the writes of others, such as `the Helm release shop`.
    pub managed_by: Option<Box<str>>,
    /// The requested counts.
    pub spec: ReplicaCountSpec,
    /// The status as it is stored in the cluster.
    pub status: Arc<ReplicaCountStatus>,
    /// When this server wrote the status last, in seconds since 1970, by the clock of the API server.
    pub status_at: Option<i64>,
}

impl From<ReplicaCount> for ReplicaCountState {
    fn from(object: ReplicaCount) -> Self {
        let ReplicaCount { metadata, spec, status } = object;
        let owners = FieldOwners::of(metadata.managed_fields.as_deref().unwrap_or_default(), &FieldPath::replicas());
        Self {
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            resource_version: resource_version(&metadata),
            generation: metadata.generation,
            deleting: metadata.deletion_timestamp.is_some(),
            annotated: metadata.annotations.is_some(),
            writers: SpecWriters::of(&metadata),
            set_at: set_at(&metadata),
            restore: RestoreRequest::of(&metadata),
            managed_by: managed_by(&metadata, &owners).map(|tool| bounded(&tool).into()),
            spec,
            status: Arc::new(status.unwrap_or_default()),
            status_at: status_at(&metadata),
        }
    }
}

impl ReplicaCountState {
    /// The count that the target should have, as far as the status shows what was decided. `None` if this object manages
    /// nothing any more: it is being deleted, or its override has ended the management.
    pub(crate) fn desired(&self, now: Timestamp) -> Option<i32> {
        self.desired_after(self.decided(), now)
    }

    /// The override, while it is in force, as far as the status shows what was decided.
    pub(crate) fn active_override(&self, now: Timestamp) -> Option<&Override> {
        self.active_override_after(self.decided(), now)
    }

    /// Like [`Self::desired`], after this decision.
    pub(crate) fn desired_after(&self, decided: DecidedCount, now: Timestamp) -> Option<i32> {
        if self.deleting { None } else { self.spec.desired(self.override_time(decided, now)) }
    }

    /// Like [`Self::active_override`], after this decision.
    pub(crate) fn active_override_after(&self, decided: DecidedCount, now: Timestamp) -> Option<&Override> {
        self.spec.active_override(self.override_time(decided, now))
    }

    fn decided(&self) -> DecidedCount {
        DecidedCount { generation: self.status.observed_generation, desired: self.status.desired }
    }

    /// The time with which the end of the override is compared. An override ends once: if it was decided that the one of
    /// this spec has ended, neither a replica whose clock is behind nor a clock that is set back brings it back.
    fn override_time(&self, decided: DecidedCount, now: Timestamp) -> Timestamp {
        let during = self.spec.override_.as_ref().map(|over| over.replicas);
        let after = self.spec.desired(Timestamp::MAX);
        let is_about_this = decided.generation.is_some() && decided.generation == self.generation;
        if is_about_this && decided.desired == after && after != during { Timestamp::MAX } else { now }
    }

    /// The user for whom the target gets the count from before back, before the management ends. The annotation counts
    /// only for its generation, and only together with that count: a writer of another count wants to keep that one.
    pub fn restoring(&self) -> Option<&str> {
        let is_original = self.spec.override_.is_none() && self.spec.original_replicas == Some(self.spec.replicas);
        // A deletion that waits for a finalizer is a generation of its own.
        let before = self.generation.map(|generation| generation.saturating_sub(self.deleting.into()));
        let is_its_own = |restore: &&RestoreRequest| [self.generation, before].contains(&restore.generation);
        let restore = self.restore.as_ref().filter(|restore| is_original && is_its_own(restore));
        restore.map(|restore| &*restore.user)
    }
}

/// The desired count that was decided about a spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecidedCount {
    /// The generation of the spec.
    pub generation: Option<i64>,
    /// The count, in replicas. `None` if the spec desires none any more.
    pub desired: Option<i32>,
}

/// The request for the count from before, as its annotation has it: a generation, a space, and a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreRequest {
    /// The generation that it is about. A later change of the spec cancels it for good.
    pub generation: Option<i64>,
    /// The user who asked for it, if this server wrote the annotation. Otherwise the field manager that did, or `unknown`.
    pub user: Box<str>,
}

impl RestoreRequest {
    /// Reads the annotation.
    pub(crate) fn of(metadata: &ObjectMeta) -> Option<Self> {
        let text = metadata.annotations.as_ref()?.get(RESTORE)?;
        let (generation, user) = text.split_once(' ').unwrap_or_default();
        let user = annotated_user(metadata, RESTORE, user);
        Some(Self { generation: generation.parse().ok(), user: user.into() })
    }
}

fn set_at(metadata: &ObjectMeta) -> Option<Timestamp> {
    metadata.annotations.as_ref()?.get(SET_AT)?.parse().ok()
}

fn status_at(metadata: &ObjectMeta) -> Option<i64> {
    let entries = metadata.managed_fields.iter().flatten();
    let is_ours = |entry: &&ManagedFieldsEntry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.subresource.as_deref() == Some("status")
    };
    entries.filter(is_ours).filter_map(|entry| entry.time.as_ref()).map(|time| time.0.as_second()).max()
}

/// The tool that manages a `ReplicaCount`, according to the labels and annotations that tools put on the objects they
/// manage, otherwise according to server-side apply.
///
/// kubectl does not count, because people who apply with kubectl by hand may also set counts by hand.
fn managed_by(metadata: &ObjectMeta, owners: &FieldOwners) -> Option<String> {
    let label = |name: &str| metadata.labels.as_ref()?.get(name);
    let annotation = |name: &str| metadata.annotations.as_ref()?.get(name);
    for (tool, prefix) in
        [("the Flux Kustomization", "kustomize.toolkit.fluxcd.io"), ("the Flux HelmRelease", "helm.toolkit.fluxcd.io")]
    {
        if let Some(name) = label(&format!("{prefix}/name")) {
            let namespace = label(&format!("{prefix}/namespace")).map(|name| format!("{name}/")).unwrap_or_default();
            return Some(format!("{tool} {namespace}{name}"));
        }
    }
    // The annotation's format is <application>:<group>/<kind>:<namespace>/<name>.
    if let Some(id) = annotation("argocd.argoproj.io/tracking-id") {
        return Some(format!("the Argo CD application {}", id.split(':').next().unwrap_or(id)));
    }
    if let Some(release) = annotation("meta.helm.sh/release-name") {
        let namespace = annotation("meta.helm.sh/release-namespace").map(|name| format!("{name}/")).unwrap_or_default();
        return Some(format!("the Helm release {namespace}{release}"));
    }
    let applier = owners.appliers().find(|applier| applier.owns && &*applier.manager != "kubectl")?;
    Some(format!("{}, by server-side apply", applier.manager))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use crate::resources::{
        FIELD_MANAGER, Operation,
        fixtures::{ReplicaCountBuilder, managed_fields_entry},
    };

    fn read_manager(metadata: Value) -> Option<Box<str>> {
        ReplicaCountBuilder::new("web").metadata(metadata).state().managed_by
    }

    fn written_by(manager: &str, operation: Operation) -> Value {
        json!({"managedFields": [managed_fields_entry(manager, operation, None)]})
    }

    /// managedFields in which a manager owns the annotation of a restore.
    fn annotated_by(manager: &str) -> Value {
        let annotations = json!({".": {}, "f:replica-count-manager.io/restore": {}});
        json!([{"manager": manager, "operation": "Update", "time": "2026-01-01T00:00:00Z",
                "fieldsV1": {"f:metadata": {"f:annotations": annotations}}}])
    }

    #[test]
    fn the_time_of_the_status_is_that_of_its_latest_write_by_this_server() {
        let entry = |manager: &str, subresource, time: &str| {
            let mut entry = managed_fields_entry(manager, Operation::Update, subresource);
            entry["time"] = time.into();
            entry
        };
        let (early, late) = ("1970-01-01T00:00:05Z", "1970-01-01T00:00:09Z");
        for (name, entries, expected) in [
            ("no status", vec![entry(FIELD_MANAGER, None, late)], None),
            ("a status", vec![entry(FIELD_MANAGER, Some("status"), early), entry(FIELD_MANAGER, None, late)], Some(5)),
            (
                "by an older version, too",
                vec![entry(FIELD_MANAGER, Some("status"), late), entry(FIELD_MANAGER, Some("status"), early)],
                Some(9),
            ),
            ("by somebody else", vec![entry("kubectl-edit", Some("status"), late)], None),
        ] {
            let state = ReplicaCountBuilder::new("web").metadata(json!({"managedFields": entries})).state();
            assert_eq!(state.status_at, expected, "{name}");
        }
    }

    #[test]
    fn a_restore_counts_for_one_generation_and_the_original_count() {
        let long = format!("2 {}", "é".repeat(1000));
        let shortened = "é".repeat(256);
        for (name, annotation, generation, replicas, expected) in [
            ("asked for", "2 alice", 2, 3, Some("alice")),
            ("a user with a space", "2 alice smith", 2, 3, Some("alice smith")),
            ("a later generation", "2 alice", 4, 3, None),
            ("another count", "2 alice", 2, 7, None),
            ("no generation", "alice", 2, 3, None),
            ("no user", "2", 2, 3, None),
            ("an empty user", "2 ", 2, 3, Some("unknown")),
            ("empty", "", 2, 3, None),
            ("a long user", &long, 2, 3, Some(shortened.as_str())),
        ] {
            let annotations = json!({"replica-count-manager.io/restore": annotation});
            let fields = annotated_by("replica-count-manager");
            let metadata = json!({"annotations": annotations, "generation": generation, "managedFields": fields});
            let mut state = ReplicaCountBuilder::new("web").metadata(metadata).state();
            (state.spec.replicas, state.spec.original_replicas) = (replicas, Some(3));
            assert_eq!(state.restoring(), expected, "{name}");
        }
    }

    #[test]
    fn a_restore_names_its_user_only_if_this_server_wrote_the_request() {
        let by = |manager| json!({"managedFields": annotated_by(manager)});
        let of_count = || json!({"managedFields": [managed_fields_entry("kubectl", Operation::Update, None)]});
        for (name, metadata, expected) in [
            ("this server", by("replica-count-manager"), "alice"),
            ("an editor", by("kubectl-edit"), "kubectl-edit"),
            ("a manager without a name", by(""), "unknown"),
            ("the annotation has no owner", of_count(), "unknown"),
            ("without managedFields", json!({}), "unknown"),
        ] {
            let annotations = json!({"annotations": {"replica-count-manager.io/restore": "2 alice"}, "generation": 2});
            let builder = ReplicaCountBuilder::new("web").metadata(annotations).metadata(metadata);
            let state = builder.spec(json!({"originalReplicas": 3})).state();
            assert_eq!(state.restoring(), Some(expected), "{name}");
        }
    }

    #[test]
    fn each_tool_is_recognised_by_its_labels_or_annotations() {
        for (metadata, expected) in [
            (json!({}), None),
            (json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}), None),
            (
                json!({"annotations": {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "prod"}}),
                Some("the Helm release prod/shop"),
            ),
            (
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:x/ReplicaCount:prod/deployment.web"}}),
                Some("the Argo CD application shop"),
            ),
            (
                json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "flux"}}),
                Some("the Flux Kustomization flux/shop"),
            ),
            (
                json!({"labels": {"helm.toolkit.fluxcd.io/name": "shop"}, "annotations": {"meta.helm.sh/release-name": "x"}}),
                Some("the Flux HelmRelease shop"),
            ),
            (written_by("argocd-controller", Operation::Apply), Some("argocd-controller, by server-side apply")),
            (written_by("kubectl", Operation::Apply), None),
            (written_by("kubectl-edit", Operation::Update), None),
            (written_by("replica-count-manager", Operation::Update), None),
        ] {
            assert_eq!(read_manager(metadata.clone()).as_deref(), expected, "{metadata}");
        }
    }

    #[test]
    fn a_tool_with_a_huge_name_is_known_by_its_beginning() {
        let huge = "a".repeat(250 * 1024);
        for annotation in
            ["argocd.argoproj.io/tracking-id", "meta.helm.sh/release-name", "meta.helm.sh/release-namespace"]
        {
            let annotations = json!({"meta.helm.sh/release-name": "shop", annotation: huge});
            let manager = read_manager(json!({"annotations": annotations})).unwrap();
            assert!(manager.len() == 512 && manager.starts_with("the ") && manager.contains("aaa"), "{annotation}");
        }
    }

    #[test]
    fn an_object_that_waits_for_a_finalizer_desires_no_count_and_keeps_its_request() {
        let annotations = json!({"replica-count-manager.io/restore": "2 alice"});
        for (name, generation, is_deleting, desired, restoring) in [
            ("not deleted", 2, false, Some(3), Some("alice")),
            ("being deleted, which is a generation of its own", 3, true, None, Some("alice")),
            ("changed", 3, false, Some(3), None),
            ("changed, and being deleted", 4, true, None, None),
        ] {
            let end = is_deleting.then_some("2026-01-01T00:00:00Z");
            let fields = annotated_by("replica-count-manager");
            let metadata = json!({"annotations": annotations, "generation": generation, "deletionTimestamp": end,
                                  "managedFields": fields});
            let spec = json!({"originalReplicas": 3});
            let state = ReplicaCountBuilder::new("web").metadata(metadata).spec(spec).state();
            assert_eq!((state.desired(Timestamp::UNIX_EPOCH), state.restoring()), (desired, restoring), "{name}");
        }
    }

    #[test]
    fn the_annotation_counts_only_while_this_server_wrote_last() {
        let set_by = |builder: ReplicaCountBuilder| builder.state().writers.replicas;
        let alice = || ReplicaCountBuilder::new("web").set_by("alice");
        assert_eq!(&*set_by(alice()), "alice");
        assert_eq!(&*set_by(alice().written_by("kubectl-edit", Operation::Update)), "kubectl-edit");
    }
}
