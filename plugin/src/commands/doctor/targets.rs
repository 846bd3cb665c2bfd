//! What the managed targets say: whether they exist, are ready, and are contested.

use contract::{
    names::reasons,
    replicas::v1::{ListReplicaCountsRequest, ReplicaCount},
};

use super::{
    facts::Facts,
    finding::{Finding, Verdict},
};
use crate::{
    commands::{batch::enumerate, read},
    output::{has_other_count, printable},
    refusal, target,
};

/// Whether the managed targets can be listed: those of all namespaces, or else of the user's one.
pub(super) async fn targets(facts: &mut Facts<'_>) -> Verdict {
    let session = facts.session()?;
    let list = async |namespace: &str| {
        let request =
            ListReplicaCountsRequest { namespace: namespace.to_owned(), ..ListReplicaCountsRequest::default() };
        read::list(session, request).await
    };
    let (counts, place) = match list("").await {
        Err(error) if refusal::is_for(&error, reasons::FORBIDDEN) => {
            let namespace = &session.namespace;
            (list(namespace).await, format!("in the namespace {}", printable(namespace)))
        }
        counts => (counts, "in all namespaces".to_owned()),
    };
    let counts = counts.map_err(|error| match refusal::is_for(&error, reasons::FORBIDDEN) {
        true => Finding::skipped("you may not list replica counts"),
        false => Finding::error(error),
    })?;
    let message = format!("{} managed {place}", counts.len());
    facts.counts = Some((counts, place));
    Ok(Finding::passed(message))
}

/// Whether each count has a target.
pub(super) async fn found(facts: &mut Facts<'_>) -> Verdict {
    let (counts, place) = facts.counts()?;
    let lost = with_condition(counts, "TargetFound", &["False", "Unknown"]);
    Ok(judge(lost, format!("all targets {place} exist"), "not found", |one| {
        format!(
            "{} says why; if the target does not come back, run: kubectl replicas unset {}",
            explain(one),
            name(one)
        )
    }))
}

/// Whether the targets that exist are at their counts, and ready.
pub(super) async fn ready(facts: &mut Facts<'_>) -> Verdict {
    let (counts, place) = facts.counts()?;
    Ok(judge(unready(counts), format!("all targets {place} that exist are ready"), "not ready", |one| {
        format!("{} says why", explain(one))
    }))
}

/// The targets that exist and are not ready, by their conditions or by their counts.
fn unready(counts: &[ReplicaCount]) -> Vec<&ReplicaCount> {
    let is_found = |count: &ReplicaCount| has_condition(count, "TargetFound", &["True"]);
    let is_unready = |count: &ReplicaCount| has_condition(count, "Ready", &["False", "Unknown"]) && is_found(count);
    counts.iter().filter(|count| has_other_count(count) || is_unready(count)).collect()
}

/// Checks that no actor keeps changing the counts.
pub(super) async fn contested(facts: &mut Facts<'_>) -> Verdict {
    let (counts, place) = facts.counts()?;
    let contested = with_condition(counts, "Contested", &["True"]);
    Ok(judge(contested, format!("no target {place} is contested"), "contested", |one| {
        format!("{} says by whom, and what to do", explain(one))
    }))
}

/// A warning that names the targets, if there are some.
fn judge(some: Vec<&ReplicaCount>, none: String, what: &str, hint: impl FnOnce(&ReplicaCount) -> String) -> Finding {
    let Some(first) = some.first() else { return Finding::passed(none) };
    let names: Vec<_> = some.iter().map(|count| name(count)).collect();
    Finding::warning(format!("{} {what}: {}", some.len(), enumerate(&names)), &hint(first))
}

fn with_condition<'a>(counts: &'a [ReplicaCount], name: &str, statuses: &[&str]) -> Vec<&'a ReplicaCount> {
    counts.iter().filter(|count| has_condition(count, name, statuses)).collect()
}

fn has_condition(count: &ReplicaCount, name: &str, statuses: &[&str]) -> bool {
    count.conditions.iter().any(|it| it.r#type == name && statuses.contains(&it.status.as_str()))
}

/// A target with its namespace, as a command accepts them: `deployment.apps/web -n shop`.
pub(super) fn name(count: &ReplicaCount) -> String {
    printable(&target::in_namespace(&count.target.clone().unwrap_or_default()))
}

fn explain(count: &ReplicaCount) -> String {
    format!("`kubectl replicas explain {}`", name(count))
}

#[cfg(test)]
mod tests {
    use contract::replicas::v1::{Condition, Target};

    use super::*;
    use crate::commands::doctor::finding::Status;

    fn count(name: &str, conditions: &[(&str, &str)]) -> ReplicaCount {
        let target = Target { namespace: "shop".to_owned(), name: name.to_owned(), ..Target::default() };
        let condition = |(name, status): &(&str, &str)| Condition {
            r#type: (*name).to_owned(),
            status: (*status).to_owned(),
            ..Condition::default()
        };
        let conditions = conditions.iter().map(condition).collect();
        ReplicaCount { target: Some(target), conditions, ..ReplicaCount::default() }
    }

    #[test]
    fn targets_are_warned_of_by_their_names() {
        let counts = [
            count("web", &[("Ready", "True"), ("Contested", "True")]),
            count("db", &[("Ready", "False"), ("Contested", "False")]),
            count("new", &[]),
        ];
        let finding = judge(with_condition(&counts, "Ready", &["False"]), "all".to_owned(), "bad", explain);
        assert_eq!(
            (finding.status, finding.message.as_str(), finding.hint.as_deref()),
            (
                Status::Warning,
                "1 bad: deployment.apps/db -n shop",
                Some("`kubectl replicas explain deployment.apps/db -n shop`")
            )
        );
        let none = judge(with_condition(&counts, "Ready", &["Unknown"]), "all".to_owned(), "bad", explain);
        assert_eq!((none.status, none.message.as_str()), (Status::Passed, "all"));
    }

    #[test]
    fn a_target_is_unready_by_its_conditions_or_by_its_count() {
        let found = |ready| count("web", &[("Ready", ready), ("TargetFound", "True")]);
        let with = |observed, shown| ReplicaCount { desired: Some(3), observed, ..shown };
        for (name, count, expected) in [
            ("ready", with(Some(3), found("True")), false),
            ("not ready", with(Some(3), found("False")), true),
            ("another count, and an old condition", with(Some(8), found("True")), true),
            ("another count, and no condition yet", with(Some(8), count("web", &[])), true),
            ("missing", with(None, count("web", &[("Ready", "False"), ("TargetFound", "False")])), false),
        ] {
            assert_eq!(unready(std::slice::from_ref(&count)).len() == 1, expected, "{name}");
        }
    }
}
