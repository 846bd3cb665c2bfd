//! The Deployment of the server itself. Commands that choose targets leave it as it is.

use std::collections::BTreeSet;

use contract::{
    names::SERVER_SELECTOR,
    replicas::v1::{ListReplicaCountsRequest, ReplicaCount, Target},
};

use super::{
    preview::Preview,
    read::{self, key},
    write::Write,
};
use crate::{
    output,
    session::{CallError, Session},
    target,
};

/// Why it is left as it is.
const REASON: &str = "it is the server itself: holding its count would undo `kubectl scale --replicas=0` and the \
                      chart's replicaCount; `set` with its name holds it anyway";

/// The servers' Deployments, by namespace and name. Each release has one.
struct Servers(BTreeSet<(String, String)>);

impl Servers {
    /// Finds them in a namespace, or in all if it is empty.
    async fn find(session: &Session, namespace: String) -> Result<Self, CallError> {
        let request = ListReplicaCountsRequest {
            namespace,
            label_selector: SERVER_SELECTOR.to_owned(),
            all_targets: true,
            ..ListReplicaCountsRequest::default()
        };
        let found = read::list(session, request).await?;
        Ok(Self(found.into_iter().filter_map(|count| count.target.as_ref().map(key)).collect()))
    }

    fn contains(&self, target: Option<&Target>) -> bool {
        target.is_some_and(|target| self.0.contains(&key(target)))
    }

    /// Splits the servers off the other targets.
    fn split_off(&self, counts: Vec<ReplicaCount>) -> (Vec<ReplicaCount>, Vec<ReplicaCount>) {
        counts.into_iter().partition(|count| self.contains(count.target.as_ref()))
    }
}

/// Adds the reason to the preview of a write to the server.
pub(super) async fn add_objections(
    session: &Session,
    namespace: String,
    writes: &[Write],
    previews: &mut [Preview],
) -> Result<(), CallError> {
    if writes.is_empty() {
        return Ok(());
    }
    let servers = Servers::find(session, namespace).await?;
    let own = writes.iter().zip(previews).filter(|(write, _)| servers.contains(Some(&write.target)));
    own.for_each(|(_, preview)| preview.notes.push(REASON.to_owned()));
    Ok(())
}

/// Leaves the server out of the targets that were chosen, and says so.
pub(super) async fn leave_out(
    session: &Session,
    namespace: String,
    counts: Vec<ReplicaCount>,
) -> Result<Vec<ReplicaCount>, CallError> {
    if counts.is_empty() {
        return Ok(counts);
    }
    let (servers, others) = Servers::find(session, namespace).await?.split_off(counts);
    for target in servers.into_iter().filter_map(|count| count.target) {
        let name = target::shown(&target, &session.namespace);
        output::note(&format!("warning: {name} is left as it is: {REASON}"));
    }
    Ok(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(namespace: &str, kind: &str, name: &str) -> ReplicaCount {
        let [namespace, kind, name] = [namespace, kind, name].map(str::to_owned);
        let target = Target { namespace, kind, name, ..Target::default() };
        ReplicaCount { target: Some(target), ..ReplicaCount::default() }
    }

    #[test]
    fn the_server_alone_is_left_out() {
        // The server names the kind and the group in each answer, and requests may leave them out.
        let server = count("rcm", "", "server").target.unwrap();
        let servers = Servers([key(&server)].into());
        for (name, namespace, kind, object, is_left) in [
            ("the server", "rcm", "Deployment", "server", true),
            ("another target beside it", "rcm", "Deployment", "web", false),
            ("of another kind", "rcm", "StatefulSet", "server", false),
            ("in another namespace", "shop", "Deployment", "server", false),
        ] {
            let (left, others) = servers.split_off(vec![count(namespace, kind, object)]);
            assert_eq!((left.len(), others.len()), (usize::from(is_left), usize::from(!is_left)), "{name}");
        }
        assert_eq!(servers.split_off(vec![ReplicaCount::default()]).1.len(), 1, "no target");
    }
}
