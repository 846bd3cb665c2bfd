//! What the cluster has of the server: the kind ReplicaCount, the Service, the pods, the leader, the fence.

use jiff::Timestamp;

use super::{
    facts::Facts,
    finding::{Finding, Verdict},
};
use crate::{
    config::ServiceRef,
    kubernetes::{self, Holder, PodState},
    output::printable,
    refusal,
    time::distance,
};

/// How to install the chart.
const INSTALL: &str = "install the server with its Helm chart, whose CRD is part of it: helm install \
                       replica-count-manager CHART -n replica-count-manager --create-namespace";

/// A restart within this time is worth a look.
const RECENT: std::time::Duration = std::time::Duration::from_secs(60 * 60);

/// Whether the API server serves the kind ReplicaCount.
pub(super) async fn crd(facts: &mut Facts<'_>) -> Verdict {
    match kubernetes::is_replica_count_served(facts.api()?, facts.limit()).await.map_err(Finding::error)? {
        true => Ok(Finding::passed("the API server serves the kind ReplicaCount")),
        false => Ok(unserved(is_installed(facts).await)),
    }
}

fn unserved(is_installed: bool) -> Finding {
    let hint = match is_installed {
        true => format!("`{}` restores the CRD", refusal::RESTORE),
        false => INSTALL.to_owned(),
    };
    Finding::failed("the API server does not know the kind ReplicaCount", &hint)
}

/// Whether the server's Service is there, as far as that can be found out.
async fn is_installed(facts: &Facts<'_>) -> bool {
    let (Ok(settings), Ok(cluster)) = (facts.settings(), facts.api()) else { return false };
    match cluster.server(&settings.service, facts.limit()).await {
        Ok(server) => server.check(facts.limit()).await.is_ok(),
        Err(_) => false,
    }
}

/// Whether the server's Service is there.
pub(super) async fn service(facts: &mut Facts<'_>) -> Verdict {
    let settings = facts.settings()?;
    let service = settings.service.clone();
    if let Some(address) = &settings.address {
        return Err(Finding::skipped(format!("the server's address is given: {address}")));
    }
    let server = facts.api()?.server(&service, facts.limit()).await.map_err(Finding::error)?;
    server.check(facts.limit()).await.map_err(|error| Finding::error(kubernetes::Error::from(error)))?;
    let by = if service == ServiceRef::default() { "its label" } else { "the configuration" };
    let message = format!("{}/{} is there, found by {by}", printable(&server.namespace), printable(&server.name));
    facts.server = Some(server);
    Ok(Finding::passed(message))
}

/// Whether pods of the server are ready.
pub(super) async fn pods(facts: &mut Facts<'_>) -> Verdict {
    let (server, limit) = (facts.server()?, facts.limit());
    let ready = server.ready_pods(limit).await;
    let pods = kubernetes::server_pods(server, limit).await.unwrap_or_default();
    let namespace = server.namespace.clone();
    let ready = ready.map_err(|error| Finding::error(kubernetes::Error::from(error)))?.len();
    facts.is_pod_ready = true;
    let finding = judge_pods(ready, &pods, &namespace, Timestamp::now());
    facts.pods = Some(pods);
    Ok(finding)
}

/// Judges the pods. `ready` is the number of endpoints, which are the pods that the plugin can use.
fn judge_pods(ready: usize, pods: &[PodState], namespace: &str, now: Timestamp) -> Finding {
    // Without the right to list pods, only the endpoints are known.
    let all = pods.len().max(ready);
    let restarts: i64 = pods.iter().map(|pod| pod.restarts).sum();
    let plural = |count: i64| if count == 1 { "" } else { "s" };
    let message = format!("{ready} of {all} ready, with {restarts} restart{}", plural(restarts));
    let unready: Vec<_> = pods.iter().filter(|pod| !pod.is_ready).collect();
    if let Some(first) = unready.first() {
        let states: Vec<_> =
            unready.iter().map(|pod| format!("{} is {}", printable(&pod.name), printable(&pod.state))).collect();
        let hint = format!("`kubectl -n {namespace} describe pod {}` says why", printable(&first.name));
        return Finding::warning(format!("{message}: {}", states.join(", ")), &hint);
    }
    let is_recent = |at: &Timestamp| now.duration_since(*at).unsigned_abs() < RECENT;
    match pods.iter().find_map(|pod| Some((pod, pod.last_restart.filter(is_recent)?))) {
        Some((pod, at)) => {
            let name = printable(&pod.name);
            let hint = format!("`kubectl -n {namespace} logs {name} --previous` shows why it ended");
            Finding::warning(format!("{message}: {name} was restarted {} ago", distance(at, now)), &hint)
        }
        None => Finding::passed(message),
    }
}

/// Whether a ready pod leads.
pub(super) async fn leader(facts: &mut Facts<'_>) -> Verdict {
    let server = facts.server()?;
    let holder = kubernetes::leader(server, facts.limit()).await.map_err(Finding::optional)?;
    Ok(judge_leader(holder.as_ref(), facts.pods.as_deref(), &server.namespace, Timestamp::now()))
}

/// Judges the Lease. A pod that is not known cannot be judged. The pods are missing if none is ready.
fn judge_leader(holder: Option<&Holder>, pods: Option<&[PodState]>, namespace: &str, now: Timestamp) -> Finding {
    let why = match pods {
        Some(_) => format!("`kubectl -n {namespace} logs -l app.kubernetes.io/component=server` shows why"),
        // There may be no pods, and so no logs.
        None => "the check `pods` says why".to_owned(),
    };
    let why = format!("{why}; no drift is corrected meanwhile");
    let pods = pods.unwrap_or_default();
    let Some(Holder { pod, renewed, duration }) = holder else {
        return match pods {
            [] | [_] => Finding::passed("there is no Lease, and one pod needs none"),
            _ => Finding::failed("several pods, but no Lease by which they elect a leader", &why),
        };
    };
    if pod.is_empty() {
        return Finding::failed("no pod leads", &why);
    }
    let name = printable(pod);
    let age = renewed.map(|at| now.duration_since(at));
    // The clocks of the machines may differ by some seconds, so twice the time is too much.
    match age.and_then(|age| std::time::Duration::try_from(age).ok()) {
        Some(age) if age > *duration * 2 => {
            let renewed = renewed.map(|at| distance(at, now)).unwrap_or_default();
            return Finding::failed(format!("{name} leads, but has renewed its Lease {renewed} ago"), &why);
        }
        _ => {}
    }
    match pods.iter().find(|known| known.name == *pod) {
        Some(known) if !known.is_ready => Finding::warning(
            format!("{name} leads, but is not ready: {}", printable(&known.state)),
            &format!("`kubectl -n {namespace} describe pod {name}` says why"),
        ),
        None if !pods.is_empty() => Finding::warning(
            format!("{name} leads, but is no pod of the Service any more"),
            "another pod leads within 15 seconds: run this command again",
        ),
        _ => Finding::passed(format!("{name} leads, and has renewed its Lease lately")),
    }
}

/// Whether an admission policy limits the server's account.
pub(super) async fn fence(facts: &mut Facts<'_>) -> Verdict {
    let pods = facts.pods.as_deref().unwrap_or_default();
    let account = pods.iter().map(|pod| pod.account.as_str()).find(|account| !account.is_empty());
    let account = account.ok_or_else(|| Finding::skipped("the server's account is not known"))?;
    let namespace = &facts.server()?.namespace;
    let fence = kubernetes::fence(facts.api()?, namespace, account, facts.limit()).await.map_err(Finding::optional)?;
    Ok(match fence {
        Some(name) => Finding::passed(format!("the policy {} limits the server to counts", printable(&name))),
        None => Finding::warning(
            format!("no admission policy limits the account {} to counts", printable(account)),
            "set fence.enabled=true in the chart's values",
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::commands::doctor::{finding::Status, fixtures::pod};

    fn now() -> Timestamp {
        Timestamp::from_second(1_000_000).unwrap()
    }

    fn broken(name: &str) -> PodState {
        PodState { is_ready: false, state: "CrashLoopBackOff".to_owned(), restarts: 1, ..pod(name) }
    }

    fn restarted(name: &str, seconds: u64) -> PodState {
        PodState { restarts: 2, last_restart: Some(now() - Duration::from_secs(seconds)), ..pod(name) }
    }

    #[test]
    fn a_missing_crd_is_mended_as_the_server_is_installed() {
        for (name, is_installed, command) in [
            ("the Service is there", true, "`helm upgrade replica-count-manager CHART "),
            ("nothing is there", false, "helm install replica-count-manager CHART "),
        ] {
            let finding = unserved(is_installed);
            let hint = finding.hint.unwrap_or_default();
            assert!(finding.status == Status::Failed && hint.contains(command), "{name}: {hint}");
        }
    }

    #[test]
    fn pods_are_judged_by_their_readiness_and_their_restarts() {
        for (name, ready, pods, status, message) in [
            ("all", 2, vec![pod("a"), pod("b")], Status::Passed, "2 of 2 ready, with 0 restarts"),
            ("unknown", 1, vec![], Status::Passed, "1 of 1 ready, with 0 restarts"),
            (
                "one",
                1,
                vec![pod("a"), broken("b")],
                Status::Warning,
                "1 of 2 ready, with 1 restart: b is CrashLoopBackOff",
            ),
            (
                "a restart",
                1,
                vec![restarted("a", 60)],
                Status::Warning,
                "1 of 1 ready, with 2 restarts: a was restarted 60s ago",
            ),
            (
                "many restarts",
                2,
                vec![PodState { restarts: i64::from(i32::MAX), ..pod("a") }, PodState { restarts: 1, ..pod("b") }],
                Status::Passed,
                "2 of 2 ready, with 2147483648 restarts",
            ),
            ("an old restart", 1, vec![restarted("a", 7200)], Status::Passed, "1 of 1 ready, with 2 restarts"),
        ] {
            let finding = judge_pods(ready, &pods, "ns", now());
            assert_eq!((finding.status, finding.message.as_str()), (status, message), "{name}");
        }
    }

    #[test]
    fn the_leader_is_judged_by_its_lease_and_its_pod() {
        let holder = |pod: &str, seconds: u64| {
            let renewed = Some(now() - Duration::from_secs(seconds));
            Some(Holder { pod: pod.to_owned(), renewed, duration: Duration::from_secs(15) })
        };
        let early = Some(Holder { renewed: Some(now() + Duration::from_secs(60)), ..holder("a", 0).unwrap() });
        for (name, holder, pods, status) in [
            ("well", holder("a", 2), vec![pod("a"), pod("b")], Status::Passed),
            ("pods unknown", holder("a", 2), vec![], Status::Passed),
            ("a clock ahead", early, vec![pod("a")], Status::Passed),
            ("no holder", holder("", 2), vec![pod("a")], Status::Failed),
            ("silent", holder("a", 31), vec![pod("a")], Status::Failed),
            ("unready", holder("a", 2), vec![broken("a")], Status::Warning),
            ("gone", holder("c", 2), vec![pod("a")], Status::Warning),
            ("one pod", None, vec![pod("a")], Status::Passed),
            ("no Lease", None, vec![pod("a"), pod("b")], Status::Failed),
        ] {
            let finding = judge_leader(holder.as_ref(), Some(&pods), "ns", now());
            assert_eq!(finding.status, status, "{name}: {}", finding.message);
        }
        for (name, holder, pods, expected) in [
            ("no holder", holder("", 2), Some(vec![pod("a")]), "`kubectl -n ns logs -l "),
            ("no holder and no pod", holder("", 2), None, "the check `pods` says why; "),
            ("silent without a pod", holder("a", 31), None, "the check `pods` says why; "),
        ] {
            let finding = judge_leader(holder.as_ref(), pods.as_deref(), "ns", now());
            let hint = finding.hint.unwrap_or_default();
            assert!(hint.starts_with(expected), "{name}: {hint}");
        }
    }
}
