//! The kind of a resource, which the API server knows.

use std::time::Duration;

use contract::replicas::v1::Target;
use kube::discovery;

use super::{cluster::Cluster, error::Error, request::send};
use crate::target::{KindRef, TargetRef};

/// Turns the name of a target into the target. Only kinds that are not built in need the API server.
pub(crate) async fn resolve(
    cluster: &Cluster,
    target: &TargetRef,
    namespace: &str,
    limit: Duration,
) -> Result<Target, Error> {
    let (group, kind) = match &target.kind {
        KindRef::BuiltIn(built_in) => (built_in.group, built_in.kind.to_owned()),
        KindRef::Resource { resource, group } => {
            (group.as_str(), discover_kind(cluster, resource, group, limit).await?)
        }
    };
    Ok(Target { namespace: namespace.to_owned(), group: group.to_owned(), kind, name: target.name.clone() })
}

async fn discover_kind(cluster: &Cluster, resource: &str, group: &str, limit: Duration) -> Result<String, Error> {
    let names = || (resource.to_owned(), group.to_owned());
    if let Some(source) = cluster.absence() {
        let (resource, group) = names();
        return Err(Error::NoDiscovery { resource, group, source: source.clone() });
    }
    let client = cluster.client().await?;
    let action = format!("discover the kinds of the API group {group}");
    let resources = match send(limit, action, if_exists(discovery::group(&client, group))).await? {
        Some(group) => group.recommended_resources(),
        None => Vec::new(),
    };
    let is_named = |kind: &str, plural: &str| plural == resource || kind.to_ascii_lowercase() == resource;
    let found = resources.into_iter().find(|(known, _)| is_named(&known.kind, &known.plural));
    let (resource, group) = names();
    found.map(|(known, _)| known.kind).ok_or(Error::NoResource { resource, group })
}

/// Turns the error that an API group does not exist into None.
async fn if_exists<T>(group: impl Future<Output = Result<T, kube::Error>>) -> Result<Option<T>, kube::Error> {
    match group.await {
        Err(kube::Error::Discovery(_)) => Ok(None),
        group => group.map(Some),
    }
}
