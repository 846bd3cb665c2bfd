//! Compares all places with what the walk did.

use std::fmt::Debug;

use anyhow::{Context, Result, bail, ensure};
use contract::replicas::v1;
use jiff::Timestamp;
use kube::{ResourceExt, api::DynamicObject};
use replica_count_manager::resources::{ReplicaCount, ReplicaCountStatus};
use serde_json::{Value, json};

use super::{
    autoscalers::scales,
    model::{DriftLine, Held, Line},
    places::{Objects, Seen},
    steps::Walk,
    target::Target,
};
use support::metric;

impl Walk<'_> {
    /// Whether each target has the count that it has by what the walk did.
    pub(super) fn have_counts(&self, objects: &Objects) -> bool {
        self.targets.iter().all(|target| count_of(target, objects) == Some(target.observed))
    }

    /// Checks that the objects say what the walk did.
    pub(super) fn check_objects(&self, objects: &Objects) -> Result<()> {
        self.targets.iter().try_for_each(|target| check_target(target, objects).with_context(|| target.name.clone()))
    }

    /// Checks that all other places agree with the objects.
    pub(super) fn check(&self, seen: &Seen) -> Result<()> {
        for target in &self.targets {
            check_places(&target.name, seen).with_context(|| target.name.clone())?;
        }
        let number = |is: &dyn Fn(&Target) -> bool| self.targets.iter().filter(|target| is(target)).count() as u64;
        same("managed_targets", metric(&seen.metrics, "managed_targets")?, number(&|target| target.held.is_some()))?;
        same(
            "failing_targets",
            metric(&seen.metrics, "failing_targets")?,
            number(&|target| target.trouble().is_some()),
        )?;
        let contested = seen
            .objects
            .counts
            .values()
            .filter(|count| condition(count, "Contested").is_some_and(|(is, _)| is == "True"));
        same("contested_targets", metric(&seen.metrics, "contested_targets")?, contested.count() as u64)
    }
}

fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Result<()> {
    ensure!(found == expected, "{what} is {found:?} and not {expected:?}");
    Ok(())
}

/// A number of an object.
fn number(object: Option<&DynamicObject>, path: &str) -> Option<i32> {
    object?.data.pointer(path)?.as_i64()?.try_into().ok()
}

fn count_of(target: &Target, objects: &Objects) -> Option<i32> {
    number(objects.targets.get(&target.name), "/spec/replicas")
}

fn check_target(target: &Target, objects: &Objects) -> Result<()> {
    let object = objects.targets.get(&target.name);
    same("its count", count_of(target, objects), Some(target.observed))?;
    let (count, held) = match (objects.counts.get(&target.name), &target.held) {
        (Some(count), Some(held)) => (count, held),
        (None, None) => return Ok(()),
        (count, _) => bail!("it has a ReplicaCount: {}", count.is_some()),
    };
    check_spec(count, held)?;
    let status = count.status.as_ref().context("it has no status")?;
    same("observedGeneration", status.observed_generation, count.metadata.generation)?;
    same("status.desired", status.desired, Some(held.desired()))?;
    same("status.observed", status.observed, Some(target.observed))?;
    let ready = number(object, "/status/readyReplicas").unwrap_or(0);
    same("status.ready", status.ready, Some(ready))?;
    check_conditions(target, held, count, ready)?;
    same("status.changes", lines(status), held.lines())?;
    same("status.recentDrifts", drift_lines(status), held.drift_lines())?;
    same("status.drifts", status.drifts, held.drifts)?;
    same("status.lastDrift", status.last_drift.as_deref(), status.recent_drifts.first())
}

fn check_places(target: &str, seen: &Seen) -> Result<()> {
    let Some(count) = seen.objects.counts.get(target) else {
        ensure!(seen.said.iter().all(|said| !said.listed.contains_key(target)), "it is listed");
        return Ok(());
    };
    let status = count.status.as_ref().context("it has no status")?;
    for said in &seen.said {
        let (listed, got) = (said.listed.get(target), said.got.get(target));
        check_answer(count, listed.context("it is not listed")?, status, false).context("list")?;
        check_answer(count, got.context("it is not there")?, status, true).context("get")?;
    }
    check_row(status, count, seen.table.get(&count.name_any()).context("kubectl shows no row")?).context("kubectl get")
}

fn check_spec(count: &ReplicaCount, held: &Held) -> Result<()> {
    same("spec.replicas", count.spec.replicas, held.replicas)?;
    same("spec.reason", &*count.spec.reason, &*held.reason)?;
    same("spec.originalReplicas", count.spec.original_replicas, Some(held.original))?;
    let over = count.spec.override_.as_ref().filter(|over| over.until.0 > Timestamp::now());
    let over = over.map(|over| (over.replicas, over.until.0.as_second(), &*over.reason, over.then_unset));
    let expected = held.over.as_ref();
    let expected = expected.map(|over| (over.replicas, over.until.as_second(), &*over.reason, over.then_unset));
    same("spec.override", over, expected)
}

/// The status and the reason of a condition.
fn condition<'a>(count: &'a ReplicaCount, type_: &str) -> Option<(&'a str, &'a str)> {
    let conditions = &count.status.as_ref()?.conditions;
    let condition = conditions.iter().find(|condition| *condition.type_ == *type_)?;
    Some((&condition.status, &condition.reason))
}

fn check_conditions(target: &Target, held: &Held, count: &ReplicaCount, ready: i32) -> Result<()> {
    let found = condition(count, "Ready");
    let (desired, status) = (held.desired(), count.status.as_ref().context("no status")?);
    same("readyOfDesired", status.ready_of_desired.clone(), Some(format!("{ready}/{desired}")))?;
    match target.trouble() {
        Some(reason) => same("Ready", found, Some(("False", reason)))?,
        None if ready < desired => same("Ready", found, Some(("False", "ReplicasNotReady")))?,
        // More are ready while they end.
        None if ready > desired => {
            ensure!(found.is_some_and(|(is, _)| is == "True"), "{ready} of {desired} are ready: {found:?}");
        }
        None => same("Ready", found, Some(("True", "InPlace")))?,
    }
    same("TargetFound", condition(count, "TargetFound"), Some(("True", "Found")))?;
    let contested =
        status.conditions.iter().find(|condition| &*condition.type_ == "Contested").context("no Contested")?;
    if let Some(autoscaler) = target.autoscaled_by() {
        same("Contested", (&*contested.status, &*contested.reason), ("True", "Autoscaled"))?;
        ensure!(contested.message.starts_with(&scales(autoscaler)), "Contested says {:?}", contested.message);
        return Ok(());
    }
    if held.contention.is_unsure() {
        return Ok(());
    }
    match held.contention.opponent() {
        Some(opponent) => {
            same("Contested", (&*contested.status, &*contested.reason), ("True", "RepeatedDrift"))?;
            let begin = format!("{opponent} keeps changing the count: ");
            let message = &contested.message;
            // A write of 0 leaves no trace of its writer.
            ensure!(message.starts_with(&begin), "Contested says {message:?} and not {begin:?}");
        }
        None => same("Contested", (&*contested.status, &*contested.reason), ("False", "Uncontested"))?,
    }
    Ok(())
}

fn lines(status: &ReplicaCountStatus) -> Vec<Line> {
    let line = |change: &replica_count_manager::resources::Change| Line {
        number: change.number,
        field: change.field.to_string(),
        from: change.from,
        to: change.to,
        by: change.by.to_string(),
        reason: change.reason.to_string(),
    };
    status.changes.iter().map(line).collect()
}

fn drift_lines(status: &ReplicaCountStatus) -> Vec<DriftLine> {
    let line = |drift: &replica_count_manager::resources::Drift| DriftLine {
        number: drift.number,
        manager: drift.manager.to_string(),
        from: drift.from,
        to: drift.to,
        is_corrected: drift.corrected_at.is_some(),
    };
    status.recent_drifts.iter().map(line).collect()
}

/// Compares an answer of the server with the object. List leaves the drifts out.
fn check_answer(
    count: &ReplicaCount,
    answer: &v1::ReplicaCount,
    status: &ReplicaCountStatus,
    is_get: bool,
) -> Result<()> {
    same("resource_version", Some(&answer.resource_version), count.metadata.resource_version.as_ref())?;
    let counts = (answer.desired, answer.observed, answer.ready, answer.replicas, answer.drifts);
    same(
        "the counts",
        counts,
        (status.desired, status.observed, status.ready, Some(count.spec.replicas), status.drifts),
    )?;
    let said = answer.conditions.iter().map(|one| (&*one.r#type, &*one.status, &*one.reason, &*one.message));
    let stored = status.conditions.iter().map(|one| (&*one.type_, &*one.status, &*one.reason, &*one.message));
    same("the conditions", said.collect::<Vec<_>>(), stored.collect())?;
    let said = answer.changes.iter().map(|one| Line {
        number: one.number,
        field: one.field.clone(),
        from: one.from,
        to: one.to(),
        by: one.by.clone(),
        reason: one.reason.clone(),
    });
    same("the changes", said.collect(), lines(status))?;
    let said: Vec<_> = answer.recent_drifts.iter().map(drift_line).collect();
    same("the drifts", said, if is_get { drift_lines(status) } else { Vec::new() })?;
    same("the last drift", answer.last_drift.as_ref().map(drift_line), drift_lines(status).into_iter().next())
}

fn drift_line(drift: &v1::Drift) -> DriftLine {
    DriftLine {
        number: drift.number,
        manager: drift.manager.clone(),
        from: drift.from,
        to: drift.to,
        is_corrected: drift.corrected_at.is_some(),
    }
}

fn check_row(
    status: &ReplicaCountStatus,
    count: &ReplicaCount,
    row: &std::collections::BTreeMap<String, Value>,
) -> Result<()> {
    let manager = status.last_drift.as_ref().map(|drift| &*drift.manager);
    for (column, expected) in [
        ("Name", json!(count.metadata.name)),
        ("Desired", json!(status.desired)),
        ("Current", json!(status.observed)),
        ("Ready", json!(status.ready_of_desired)),
        ("Drifts", json!(status.drifts)),
        ("Last drift by", json!(manager)),
        ("Status", json!(condition(count, "Ready").map(|(_, reason)| reason))),
    ] {
        same(column, row.get(column), Some(&expected))?;
    }
    Ok(())
}
