//! What the server answers: the connection, what it is, and what the caller may do.

use contract::{
    names::reasons,
    replicas::v1::{
        GetReplicaCountRequest, GetServerInfoRequest, ListReplicaCountsRequest, SetReplicaCountRequest, Target,
    },
};

use super::{
    access::describe_user,
    facts::Facts,
    finding::{Finding, Status, Verdict},
};
use crate::{
    commands::connect::{check_user, user_of},
    output::printable,
    refusal,
    session::{CallError, Connections, Session},
};

/// The version of this plugin, which is released together with the server.
const PLUGIN: &str = env!("CARGO_PKG_VERSION");

/// The name of a target that does not exist, for calls that only ask whether they are allowed.
const ABSENT: &str = "kubectl-replicas-doctor";

/// The most kinds that are named.
const MAX_KINDS: usize = 10;

/// Whether the server accepts a connection.
pub(super) async fn connection(facts: &mut Facts<'_>) -> Verdict {
    let settings = facts.settings()?;
    let certificate = facts.certificate.as_ref();
    let certificate = certificate.ok_or_else(|| Finding::skipped("there is no usable client certificate"))?.clone();
    if settings.address.is_none() {
        facts.server()?;
        facts.is_pod_ready.then_some(()).ok_or_else(|| Finding::skipped("no pod of the server is ready"))?;
    }
    let way = match &settings.address {
        Some(address) => format!("{address} accepts it, with TLS"),
        None => "a pod accepts it, through a port-forward, with TLS".to_owned(),
    };
    let cluster = facts.cluster.take().ok_or_else(|| Finding::skipped("the kubeconfig cannot be used"))?;
    let impersonation = cluster.impersonation().cloned();
    let user = user_of(Some(&certificate));
    let session = Session::open(cluster, facts.settings()?, user, facts.args, &Connections::default()).await;
    let session = session.map_err(Finding::error)?;
    if let Some(impersonation) = impersonation {
        check_user(&session, impersonation).map_err(Finding::error)?;
    }
    facts.session = Some(session);
    Ok(Finding::passed(way))
}

/// Whether the server answers, and whom it takes the caller for.
pub(super) async fn info(facts: &mut Facts<'_>) -> Verdict {
    let session = facts.session()?;
    let answer = session.answer(session.client.clone().get_server_info(GetServerInfoRequest {})).await;
    let info = answer.map_err(Finding::error)?;
    let message = format!("it answers, and knows you as {}", describe_user(&info.user, &info.groups));
    facts.info = Some(info);
    Ok(Finding::passed(message))
}

/// Whether server and plugin are of the same minor version.
pub(super) async fn version(facts: &mut Facts<'_>) -> Verdict {
    Ok(judge_versions(PLUGIN, facts.info()?.version.trim_start_matches('v')))
}

fn judge_versions(plugin: &str, server: &str) -> Finding {
    let minor = |version: &str| version.split('.').take(2).map(str::to_owned).collect::<Vec<_>>();
    let server = printable(server);
    match minor(plugin) == minor(&server) {
        true => Finding::passed(format!("the server has v{server}, and this plugin v{plugin}")),
        false => Finding::warning(
            format!("the server has v{server}, but this plugin v{plugin}"),
            "use the plugin that was released with the server; `kubectl replicas version` shows both",
        ),
    }
}

/// What the server serves.
pub(super) async fn scope(facts: &mut Facts<'_>) -> Verdict {
    let info = facts.info()?;
    let namespace = &facts.session()?.namespace;
    let mut kinds: Vec<_> = info.kinds.iter().map(|kind| printable(&kind.kind)).collect();
    let more = kinds.len().saturating_sub(MAX_KINDS);
    kinds.truncate(MAX_KINDS);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let limits = format!("counts up to {}, and watches {}{more}", info.max_replicas, kinds.join(", "));
    Ok(match printable(&info.namespace) {
        _ if info.namespace.is_empty() => Finding::passed(format!("it serves all namespaces and {limits}")),
        served if info.namespace == *namespace => {
            Finding::passed(format!("it serves only the namespace {served}, and {limits}"))
        }
        served => Finding::warning(
            format!("it serves only the namespace {served}, and {limits}"),
            &format!("use --namespace={served}"),
        ),
    })
}

/// Whether the caller may list replica counts.
pub(super) async fn list(facts: &mut Facts<'_>) -> Verdict {
    let session = facts.session()?;
    let namespace = session.namespace.clone();
    let request = ListReplicaCountsRequest { namespace, page_size: 1, ..ListReplicaCountsRequest::default() };
    let answer = session.answer(session.client.clone().list_replica_counts(request)).await;
    judge_call(answer.map(drop), "list replica counts", session, Status::Failed)
}

/// Whether the caller may get a replica count.
pub(super) async fn get(facts: &mut Facts<'_>) -> Verdict {
    let session = facts.session()?;
    let request = GetReplicaCountRequest { target: Some(absent_target(session)), ..GetReplicaCountRequest::default() };
    let answer = session.answer(session.client.clone().get_replica_count(request)).await;
    judge_call(answer.map(drop), "get a replica count", session, Status::Failed)
}

/// Whether the caller may set a count. It is a dry run, for a target that does not exist.
pub(super) async fn set(facts: &mut Facts<'_>) -> Verdict {
    let session = facts.session()?;
    let request = SetReplicaCountRequest {
        target: Some(absent_target(session)),
        replicas: Some(1),
        dry_run: true,
        ..SetReplicaCountRequest::default()
    };
    let answer = session.answer(session.client.clone().set_replica_count(request)).await;
    judge_call(answer.map(drop), "set a count", session, Status::Warning)
}

fn absent_target(session: &Session) -> Target {
    let [group, kind, name] = ["apps", "Deployment", ABSENT].map(str::to_owned);
    Target { namespace: session.namespace.clone(), group, kind, name }
}

/// Judges a call. The answer that the target does not exist means that the call is allowed. `status` is that of a missing
/// right.
fn judge_call(answer: Result<(), CallError>, what: &str, session: &Session, status: Status) -> Verdict {
    let namespace = printable(&session.namespace);
    let allowed = Finding::passed(format!("you may {what} in the namespace {namespace}"));
    let is_for = |error: &CallError, reason| refusal::is_for(error, reason);
    match answer {
        Ok(()) => Ok(allowed),
        Err(error) if is_for(&error, reasons::TARGET_NOT_FOUND) || is_for(&error, reasons::NOT_MANAGED) => Ok(allowed),
        Err(error) if is_for(&error, reasons::FORBIDDEN) => Ok(Finding { status, ..Finding::error(error) }),
        Err(error) => Ok(Finding::error(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_minor_version_is_a_warning() {
        for (plugin, server, status) in [
            ("0.1.0", "0.1.0", Status::Passed),
            ("0.1.0", "0.1.7", Status::Passed),
            ("0.1.0", "0.2.0", Status::Warning),
            ("1.1.0", "0.1.0", Status::Warning),
            ("0.1.0", "", Status::Warning),
        ] {
            assert_eq!(judge_versions(plugin, server).status, status, "{plugin} and {server}");
        }
    }
}
