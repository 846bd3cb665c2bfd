//! Admission: whether the webhooks are as they should be, whether they lead to the leader, and whether they take effect.

use contract::replicas::v1::ReplicaCount;

use super::{
    facts::Facts,
    finding::{Finding, Verdict},
    targets::name,
};
use crate::{
    certificate::CertificateSummary,
    commands::batch::enumerate,
    kubernetes::{self, DryRun, PodState, Webhook},
    output::printable,
    target,
};

/// The mode that keeps counts, and the one that warns.
const GUARD: &str = "guard";
const WARN: &str = "warn";

/// The chart's policy for a webhook that gives no answer: the write goes on.
const IGNORE: &str = "Ignore";

/// The seconds that the chart lets a write wait for a webhook.
const TIMEOUT: i32 = 1;

/// The page about admission.
const PAGE: &str = "docs/admission.md has what the API server must reach";

/// Whether the webhooks are those of the mode, and never stop a write.
pub(super) async fn webhooks(facts: &mut Facts<'_>) -> Verdict {
    let (server, mode) = (facts.server()?, facts.info()?.admission_mode.clone());
    let webhooks = kubernetes::webhooks(server, facts.limit()).await.map_err(Finding::optional)?;
    let finding = judge_webhooks(&mode, &webhooks, &server.namespace);
    facts.webhooks = Some(webhooks);
    Ok(finding)
}

fn judge_webhooks(mode: &str, webhooks: &[Webhook], namespace: &str) -> Finding {
    let restore = "`helm upgrade` with the values of the release restores it";
    match (mode, webhooks.first()) {
        ("" | "off", None) => return Finding::passed("the mode is off, and no webhook of the server is in the way"),
        ("" | "off", Some(left)) => {
            let configuration = printable(&left.configuration);
            let hint = format!("if no release of the chart has it: kubectl delete {configuration}");
            return Finding::warning(format!("the mode is off, but there is {configuration}"), &hint);
        }
        (_, None) => {
            return Finding::failed(format!("the mode is {}, but there is no webhook", printable(mode)), restore);
        }
        (_, Some(_)) => {}
    }
    for webhook in webhooks {
        let place = format!("{} of {}", printable(&webhook.name), printable(&webhook.configuration));
        if webhook.failure_policy != IGNORE {
            let policy = printable(&webhook.failure_policy);
            return Finding::failed(format!("{place} has failurePolicy {policy}: it can stop writes"), restore);
        }
        if webhook.timeout > TIMEOUT {
            return Finding::warning(format!("{place} lets writes wait for {} s", webhook.timeout), restore);
        }
        let missing = match CertificateSummary::parse(&webhook.bundle) {
            None => "no CA certificate",
            Some(_) if !webhook.has_path => "no path",
            Some(_) => continue,
        };
        let logs = format!(
            "the leader writes it within seconds; `kubectl -n {namespace} logs -l app.kubernetes.io/component=server` \
             shows why it does not"
        );
        return Finding::failed(format!("{place} has {missing}, so no write is reviewed"), &logs);
    }
    if mode == GUARD && !webhooks.iter().any(|webhook| webhook.is_mutating) {
        return Finding::failed("the mode is guard, but no webhook keeps counts", restore);
    }
    let number = webhooks.len();
    Finding::passed(format!("the mode is {}; {number} webhooks, each ignored after {TIMEOUT} s", printable(mode)))
}

/// Skips what depends on webhooks, if there is none.
fn check_presence(webhooks: Option<&[Webhook]>) -> Result<(), Finding> {
    match webhooks {
        Some([]) => Err(Finding::skipped("there is no webhook")),
        Some(_) | None => Ok(()),
    }
}

/// Whether the Service of the webhooks leads to the leader.
pub(super) async fn endpoint(facts: &mut Facts<'_>) -> Verdict {
    facts.admission_mode()?;
    let (server, limit) = (facts.server()?, facts.limit());
    let webhook = facts.webhooks.as_deref().and_then(<[_]>::first);
    let service = &webhook.ok_or_else(|| Finding::skipped("the webhooks are not known"))?.service;
    let addresses = kubernetes::endpoints(server, service, limit).await.map_err(Finding::optional)?;
    let leader = kubernetes::leader(server, limit).await.ok().flatten().map(|holder| holder.pod);
    let pods = facts.pods.as_deref().unwrap_or_default();
    Ok(judge_endpoint(&addresses, pods, leader.as_deref().unwrap_or_default(), &server.namespace))
}

/// Judges the endpoint. Without the rights to read pods and the Lease, only its addresses are known.
fn judge_endpoint(addresses: &[String], pods: &[PodState], leader: &str, namespace: &str) -> Finding {
    let Some(address) = addresses.first() else {
        let hint = format!(
            "the leader writes the EndpointSlice; `kubectl -n {namespace} logs -l app.kubernetes.io/component=server` \
             shows why it does not"
        );
        return Finding::failed("the webhooks lead to no pod, so no write is reviewed", &hint);
    };
    let address = printable(address);
    match pods.iter().find(|pod| addresses.iter().any(|address| pod.addresses.contains(address))) {
        Some(pod) if leader.is_empty() || pod.name == leader => {
            Finding::passed(format!("the webhooks lead to {}, which leads", printable(&pod.name)))
        }
        Some(pod) => Finding::warning(
            format!("the webhooks lead to {}, but {} leads", printable(&pod.name), printable(leader)),
            "a new leader writes its own address at once: run this command again",
        ),
        None if pods.is_empty() => Finding::passed(format!("the webhooks lead to {address}")),
        None => Finding::warning(
            format!("the webhooks lead to {address}, which is no pod of the Service"),
            "the next leader writes its own address, within 15 seconds: run this command again",
        ),
    }
}

/// Whether a dry run of the caller is refused or warned of.
pub(super) async fn dry_run(facts: &mut Facts<'_>) -> Verdict {
    let mode = facts.admission_mode()?;
    if ![GUARD, WARN].contains(&mode) {
        return Err(Finding::skipped(format!("a dry run shows nothing while the mode is {}", printable(mode))));
    }
    check_presence(facts.webhooks.as_deref())?;
    let (counts, _) = facts.counts()?;
    let count = probed(counts).ok_or_else(|| Finding::skipped("no target is held"))?;
    let (cluster, limit) = facts.session()?.api();
    // A count that the target neither has nor should have.
    let replicas = count.desired().max(count.observed()).saturating_add(1);
    let target = count.target.clone().unwrap_or_default();
    let answer = kubernetes::scale_dry_run(cluster, &target, replicas, limit).await.map_err(Finding::optional)?;
    Ok(judge_dry_run(mode == GUARD, answer, count))
}

/// The target for the dry run. One whose writes are reviewed, as far as the server knows, comes first.
fn probed(counts: &[ReplicaCount]) -> Option<&ReplicaCount> {
    let is_held = |count: &&ReplicaCount| count.desired.is_some() && count.observed.is_some();
    let reviewed = counts.iter().filter(is_held).find(|count| !count.admission.is_empty());
    reviewed.or_else(|| counts.iter().find(is_held))
}

fn judge_dry_run(is_guard: bool, answer: DryRun, count: &ReplicaCount) -> Finding {
    let target = name(count);
    match (is_guard, answer) {
        (_, DryRun::Denied) => Finding::passed(format!("a dry run that scales {target} is refused")),
        (false, DryRun::Warned) => Finding::passed(format!("a dry run that scales {target} is warned of")),
        _ if !count.admission.is_empty() => Finding::warning(
            format!("a dry run that scales {target} passes, though the server's own are reviewed"),
            "you may be in one of admission.exemptGroups, whose writes are put back instead",
        ),
        _ => Finding::failed(format!("a dry run that scales {target} passes without a review"), PAGE),
    }
}

/// Whether the writes to each target are reviewed, by the server's own dry runs.
pub(super) async fn targets(facts: &mut Facts<'_>) -> Verdict {
    let mode = facts.admission_mode()?;
    check_presence(facts.webhooks.as_deref())?;
    let (counts, place) = facts.counts()?;
    Ok(judge_targets(mode, counts, place))
}

fn judge_targets(mode: &str, counts: &[ReplicaCount], place: &str) -> Finding {
    let expected = if mode == GUARD { "guarded" } else { "recorded" };
    let others: Vec<_> = counts.iter().filter(|it| it.observed.is_some() && it.admission != expected).collect();
    let Some(first) = others.first() else {
        return Finding::passed(format!("all targets {place} are {expected}"));
    };
    let names: Vec<_> = others.iter().map(|count| name(count)).collect();
    let target = first.target.clone().unwrap_or_default();
    // The status says nothing before the first test, and nothing after one without a review.
    let or_untested = if others.iter().any(|it| it.admission.is_empty()) { ", or not tested yet" } else { "" };
    // Only the guard depends on the kind.
    let or_unguarded = match mode {
        GUARD => format!(
            ", or {} is of a kind that is not among the chart's targets, and is only recorded",
            printable(&target::name(&target))
        ),
        _ => String::new(),
    };
    let hint = format!(
        "a new leader tests one namespace and kind a second, and then each every 5 minutes: run this command again; \
         if it stays, admission.namespaceSelector may leave the namespace {} out{or_unguarded}",
        printable(&target.namespace),
    );
    Finding::warning(format!("{} not {expected}{or_untested}: {}", others.len(), enumerate(&names)), &hint)
}

#[cfg(test)]
mod tests {
    use contract::replicas::v1::Target;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::commands::doctor::{finding::Status, fixtures::pod};

    fn webhook(name: &str) -> Webhook {
        let certificate = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap();
        Webhook {
            configuration: "validatingwebhookconfiguration/x".to_owned(),
            name: format!("{name}.replica-count-manager.io"),
            is_mutating: name == GUARD,
            service: "x".to_owned(),
            bundle: certificate.pem().into_bytes(),
            has_path: true,
            failure_policy: IGNORE.to_owned(),
            timeout: TIMEOUT,
        }
    }

    #[test]
    fn webhooks_that_can_stop_writes_or_do_nothing_are_found() {
        let with = |change: fn(&mut Webhook)| {
            let mut webhook = webhook("scale");
            change(&mut webhook);
            vec![webhook]
        };
        for (name, mode, webhooks, status, words) in [
            ("off", "off", vec![], Status::Passed, "no webhook of the server is in the way"),
            ("an older server", "", vec![], Status::Passed, "no webhook of the server is in the way"),
            ("left over", "off", vec![webhook("scale")], Status::Warning, "there is validatingwebhookconfiguration/x"),
            ("deleted", "warn", vec![], Status::Failed, "there is no webhook"),
            ("well", "warn", vec![webhook("scale")], Status::Passed, "1 webhooks, each ignored after 1 s"),
            (
                "well, with the guard",
                "guard",
                vec![webhook("scale"), webhook(GUARD)],
                Status::Passed,
                "the mode is guard",
            ),
            ("no guard", "guard", vec![webhook("scale")], Status::Failed, "no webhook keeps counts"),
            (
                "dangerous",
                "warn",
                with(|it| it.failure_policy = "Fail".to_owned()),
                Status::Failed,
                "it can stop writes",
            ),
            ("slow", "warn", with(|it| it.timeout = 10), Status::Warning, "lets writes wait for 10 s"),
            ("no bundle", "warn", with(|it| it.bundle.clear()), Status::Failed, "has no CA certificate"),
            ("no path", "warn", with(|it| it.has_path = false), Status::Failed, "has no path"),
        ] {
            let finding = judge_webhooks(mode, &webhooks, "ns");
            assert_eq!(finding.status, status, "{name}: {}", finding.message);
            assert!(finding.message.contains(words), "{name}: {}", finding.message);
        }
    }

    #[test]
    fn without_webhooks_nothing_is_said_of_their_effect() {
        for (name, webhooks, is_checked) in [
            ("they may not be listed", None, true),
            ("there is none", Some(vec![]), false),
            ("there is one", Some(vec![webhook("scale")]), true),
        ] {
            let skipped = check_presence(webhooks.as_deref()).err().map(|finding| finding.status);
            assert_eq!(skipped, (!is_checked).then_some(Status::Skipped), "{name}");
        }
    }

    #[test]
    fn the_endpoint_is_that_of_the_leader() {
        let at = |name, address: &str| PodState { addresses: vec![address.to_owned()], ..pod(name) };
        let pods = || vec![at("a", "10.0.0.1"), at("b", "10.0.0.2")];
        for (name, address, pods, leader, status) in [
            ("the leader", Some("10.0.0.1"), pods(), "a", Status::Passed),
            ("the Lease is not known", Some("10.0.0.1"), pods(), "", Status::Passed),
            ("the pods are not known", Some("10.0.0.1"), vec![], "a", Status::Passed),
            ("another pod", Some("10.0.0.2"), pods(), "a", Status::Warning),
            ("a pod that is gone", Some("10.0.0.3"), pods(), "a", Status::Warning),
            ("nothing", None, pods(), "a", Status::Failed),
        ] {
            let addresses: Vec<_> = address.map(str::to_owned).into_iter().collect();
            let finding = judge_endpoint(&addresses, &pods, leader, "ns");
            assert_eq!(finding.status, status, "{name}: {}", finding.message);
        }
    }

    fn count(name: &str, admission: &str) -> ReplicaCount {
        let target = Target { namespace: "shop".to_owned(), name: name.to_owned(), ..Target::default() };
        let (desired, observed, admission) = (Some(3), Some(3), admission.to_owned());
        ReplicaCount { target: Some(target), desired, observed, admission, ..ReplicaCount::default() }
    }

    #[test]
    fn a_dry_run_shows_whether_writes_are_reviewed() {
        for (name, is_guard, answer, admission, status) in [
            ("guarded", true, DryRun::Denied, "guarded", Status::Passed),
            ("warned", false, DryRun::Warned, "recorded", Status::Passed),
            ("an exempt user", true, DryRun::Allowed, "guarded", Status::Warning),
            ("out of reach", true, DryRun::Allowed, "", Status::Failed),
            ("not warned", false, DryRun::Allowed, "", Status::Failed),
            ("only warned, in guard", true, DryRun::Warned, "", Status::Failed),
        ] {
            let finding = judge_dry_run(is_guard, answer, &count("web", admission));
            assert_eq!(finding.status, status, "{name}: {}", finding.message);
        }
        let missing = ReplicaCount { observed: None, ..count("gone", "guarded") };
        let counts = [missing, count("new", ""), count("web", "guarded")];
        let chosen = |counts: &[ReplicaCount]| probed(counts).map(name);
        assert_eq!(chosen(&counts).as_deref(), Some("deployment.apps/web -n shop"));
        assert_eq!(
            (chosen(&counts[..2]).as_deref(), chosen(&counts[..1])),
            (Some("deployment.apps/new -n shop"), None)
        );
    }

    #[test]
    fn targets_whose_writes_are_not_reviewed_are_named() {
        let counts = [count("web", "guarded"), count("db", "recorded"), count("new", "")];
        let place = "in all namespaces";
        for (name, mode, counts, status, message) in [
            ("all are", "guard", &counts[..1], Status::Passed, "all targets in all namespaces are guarded"),
            ("none is held", "guard", &counts[..0], Status::Passed, "all targets in all namespaces are guarded"),
            (
                "some are not",
                "guard",
                &counts[..],
                Status::Warning,
                "2 not guarded, or not tested yet: deployment.apps/db -n shop, deployment.apps/new -n shop",
            ),
            (
                "a tested one is not",
                "guard",
                &counts[1..2],
                Status::Warning,
                "1 not guarded: deployment.apps/db -n shop",
            ),
            ("all are recorded", "record", &counts[1..2], Status::Passed, "all targets in all namespaces are recorded"),
        ] {
            let finding = judge_targets(mode, counts, place);
            assert_eq!((finding.status, finding.message.as_str()), (status, message), "{name}");
        }
    }

    #[test]
    fn only_the_guard_says_of_a_kind_that_it_is_only_recorded() {
        for (mode, admission, has_kinds) in
            [(GUARD, "", true), (GUARD, "recorded", true), (WARN, "", false), ("record", "", false)]
        {
            let hint = judge_targets(mode, &[count("web", admission)], "here").hint.unwrap_or_default();
            assert!(hint.contains("may leave the namespace shop out"), "{mode}: {hint}");
            assert_eq!(hint.contains("is only recorded"), has_kinds, "{mode}: {hint}");
        }
    }
}
