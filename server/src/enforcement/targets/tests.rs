use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::{
    enforcement::{
        failure::Cause,
        fixtures::{at, replica_count, target, watched_deployments},
        writes::CorrectionAnswer,
    },
    resources::ReplicaCountState,
};

fn snapshot(name: &str, count: Option<Arc<ReplicaCountState>>, autoscaler: Option<&str>) -> TargetSnapshot {
    TargetSnapshot {
        key: TargetKey::new("shop", "", "", name).unwrap(),
        count,
        target: Some(Arc::new(target(10, 3).state())),
        kind: watched_deployments(),
        autoscaler: autoscaler.map(Into::into),
        at: at(0),
        replaced: None,
    }
}

#[test]
fn managed_and_contested_targets_are_counted() {
    let metrics = Metrics::default();
    let (managed, contested) = (metrics.managed.clone(), metrics.contested.clone());
    let mut targets = ManagedTargets::new(&metrics);
    let held = || Some(replica_count(1, 1, json!({"replicas": 3}), Value::Null));
    struct Row {
        name: &'static str,
        event: TargetSnapshot,
        managed: i64,
        contested: i64,
    }
    for Row { name, event, managed: is_managed, contested: is_contested } in [
        Row { name: "a is managed", event: snapshot("a", held(), None), managed: 1, contested: 0 },
        Row { name: "a gets an autoscaler", event: snapshot("a", held(), Some("hpa")), managed: 1, contested: 1 },
        Row { name: "b, with an autoscaler", event: snapshot("b", held(), Some("hpa")), managed: 2, contested: 2 },
        Row { name: "a again", event: snapshot("a", held(), Some("hpa")), managed: 2, contested: 2 },
        Row { name: "a loses its autoscaler", event: snapshot("a", held(), None), managed: 2, contested: 1 },
        Row { name: "b is no longer managed", event: snapshot("b", None, Some("hpa")), managed: 1, contested: 0 },
        Row { name: "c never was", event: snapshot("c", None, None), managed: 1, contested: 0 },
    ] {
        let key = event.key.clone();
        targets.observe(event, 100);
        targets.reconcile(&key, Now::read());
        assert_eq!((managed.get(), contested.get()), (is_managed, is_contested), "{name}");
    }
    targets.clear();
    assert_eq!((managed.get(), contested.get()), (0, 0));
}

#[test]
fn a_status_that_somebody_else_wrote_is_written_against() {
    let mut targets = ManagedTargets::new(&Metrics::default());
    let count = |version, status| Some(replica_count(version, 1, json!({"replicas": 3}), status));
    let mut write = |count| {
        let event = snapshot("a", count, None);
        let key = event.key.clone();
        targets.observe(event, 100);
        targets.reconcile(&key, Now::read());
        targets.get_mut(&key)?.status_to_write(at(0))
    };
    let version = |write: Option<StatusWrite>| write.map(|write| write.version);
    let first = write(count(3, json!({"observedGeneration": 1}))).unwrap();
    assert_eq!(first.version, 3);
    assert_eq!(version(write(count(4, json!({"drifts": 7})))), Some(3), "a newer status of somebody else is refused");
    write(None);
    let stored = serde_json::to_value(&*first.status).unwrap();
    assert_eq!(version(write(count(5, stored.clone()))), None, "the API server has it");
    assert_eq!(version(write(count(6, stored))), None, "a newer object with the same status");
    assert_eq!(version(write(count(7, json!({"drifts": 7})))), Some(6), "somebody else wrote");
}

#[test]
fn another_replica_count_of_the_same_name_has_another_past() {
    let mut targets = ManagedTargets::new(&Metrics::default());
    let mut other = (*replica_count(2, 1, json!({"replicas": 3}), json!({"drifts": 4}))).clone();
    targets.observe(snapshot("a", Some(Arc::new(other.clone())), None), 100);
    let key = snapshot("a", None, None).key;
    assert_eq!(targets.get_mut(&key).unwrap().memory.stored.drifts, 4);
    other.uid = "another".into();
    other.status = Arc::default();
    targets.observe(snapshot("a", Some(Arc::new(other)), None), 100);
    assert_eq!(targets.get_mut(&key).unwrap().memory.stored.drifts, 0);
}

#[test]
fn a_term_begins_with_the_changes_that_no_status_shows() {
    let mut targets = ManagedTargets::new(&Metrics::default());
    let state = |generation: i64| {
        replica_count(generation.unsigned_abs(), generation, json!({"replicas": generation}), Value::Null)
    };
    let states = [1, 2, 3].map(|generation| UnreportedState { count: state(generation), at: at(generation) });
    let event = snapshot("a", Some(state(3)), None);
    let key = event.key.clone();
    targets.begin(BTreeMap::from([(key.clone(), states.to_vec())]));
    targets.observe(event.clone(), 100);
    assert_eq!(targets.reconcile(&key, Now::read()).unwrap().changes, []);
    let latest = |targets: &mut ManagedTargets| {
        let change = targets.get_mut(&key).unwrap().memory.history.latest_change().cloned().unwrap();
        (change.number, change.from, change.to, change.at.0)
    };
    assert_eq!(latest(&mut targets), (3, Some(2), 3, at(3)));
    targets.observe(TargetSnapshot { count: None, ..event.clone() }, 100);
    targets.observe(event, 100);
    targets.reconcile(&key, Now::read());
    assert_eq!(latest(&mut targets), (1, None, 3, at(0)), "they are recorded once");
}

#[test]
fn failing_targets_are_counted_until_a_correction_succeeds() {
    let metrics = Metrics::default();
    let mut targets = ManagedTargets::new(&metrics);
    let held = || Some(replica_count(1, 1, json!({"replicas": 3}), Value::Null));
    let failed = |cause| CorrectionAnswer::Failed { cause, error: "no".into(), retry_after: None };
    for (name, answer, failing) in [
        ("the API server is away", failed(Cause::ApiServer), 0),
        ("refused", failed(Cause::Refused), 1),
        ("away again", failed(Cause::ApiServer), 1),
        ("stored", CorrectionAnswer::Scaled { to: 3, stored: 3, version: 11, was_changed: true }, 0),
        ("no answer", failed(Cause::NoAnswer), 1),
    ] {
        let event = snapshot("a", held(), None);
        let key = event.key.clone();
        targets.observe(event, 100);
        targets.get_mut(&key).unwrap().memory.record(Record::Correction(&answer), Now::read());
        targets.reconcile(&key, Now::read());
        assert_eq!(metrics.failing.get(), failing, "{name}");
    }
    targets.observe(snapshot("a", None, None), 100);
    assert_eq!(metrics.failing.get(), 0, "it is no longer managed");
}
