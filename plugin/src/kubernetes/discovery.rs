//! The kind of a resource, which the API server knows.

use std::time::Duration;

use contract::{names::CORE_GROUP, replicas::v1::Target};
use kube::core::discovery::v2::{APIGroupDiscovery, APIResourceDiscovery, APIVersionDiscovery};

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
        KindRef::BuiltIn(built_in) => (built_in.group.to_owned(), built_in.kind.to_owned()),
        KindRef::Resource { resource, group } => discover_kind(cluster, resource, group, limit).await?,
    };
    Ok(Target { namespace: namespace.to_owned(), group, kind, name: target.name.clone() })
}

/// The preferred version of a kind.
pub(crate) async fn version(cluster: &Cluster, group: &str, kind: &str, limit: Duration) -> Result<String, Error> {
    let names = || (kind.to_owned(), group.to_owned());
    let groups = discover(cluster, limit, names).await?;
    let (resource, group) = names();
    preferred_version(groups, &group, kind).ok_or(Error::NoResource { resource, group })
}

/// The plural of a kind, as it stands in URLs.
pub(super) async fn plural(cluster: &Cluster, group: &str, kind: &str, limit: Duration) -> Result<String, Error> {
    let names = || (kind.to_owned(), group.to_owned());
    let groups = discover(cluster, limit, names).await?;
    let (resource, group) = names();
    let resources = groups.iter().filter(|known| is_group(known, &group)).flat_map(|group| &group.versions);
    let mut resources = resources.flat_map(|version| &version.resources);
    let plural = resources.find(|known| self::kind(known) == Some(kind)).and_then(|known| known.resource.clone());
    plural.ok_or(Error::NoResource { resource, group })
}

/// The kinds of the API server. It is asked for all of them, the first time that a command needs one.
async fn discover(
    cluster: &Cluster,
    limit: Duration,
    names: impl Fn() -> (String, String),
) -> Result<&Vec<APIGroupDiscovery>, Error> {
    if let Some(source) = cluster.absence() {
        let (resource, group) = names();
        return Err(Error::NoDiscovery { resource, group, source: source.clone() });
    }
    let client = cluster.client().await?;
    let discover = async || {
        let groups = send(limit, "discover the kinds of the API server", client.list_api_groups_aggregated()).await?;
        Ok::<_, Error>(groups.items)
    };
    cluster.groups().get_or_try_init(discover).await
}

async fn discover_kind(
    cluster: &Cluster,
    resource: &str,
    group: &str,
    limit: Duration,
) -> Result<(String, String), Error> {
    let names = || (resource.to_owned(), group.to_owned());
    let groups = discover(cluster, limit, names).await?;
    let (resource, group) = names();
    find(groups, &resource, &group).ok_or(Error::NoResource { resource, group })
}

/// Finds a resource as kubectl does, and returns its group and its kind: in any version of its group, by its plural, its
/// singular, its kind or a short name. Without a group, the first group that has it counts. A group may begin with a
/// version, or be only the beginning of a group's name.
fn find(groups: &[APIGroupDiscovery], resource: &str, group: &str) -> Option<(String, String)> {
    let in_version = group
        .split_once('.')
        .and_then(|(version, group)| find_in(groups, resource, |name| name == group, |known| known == version));
    let any_version = |_: &str| true;
    // `core` stands for the core group, never for a prefix.
    let is_beginning = |name: &str| group != CORE_GROUP && name.starts_with(group);
    in_version
        .or_else(|| find_in(groups, resource, |name| name == group, any_version))
        .or_else(|| find_in(groups, resource, is_beginning, any_version))
}

fn find_in(
    groups: &[APIGroupDiscovery],
    resource: &str,
    is_group: impl Fn(&str) -> bool,
    is_version: impl Fn(&str) -> bool,
) -> Option<(String, String)> {
    let named = groups.iter().filter_map(|group| Some((group.metadata.as_ref()?.name.as_deref()?, group)));
    let resources = || {
        let groups = named.clone().filter(|(name, _)| is_group(name));
        let versions = groups.flat_map(|(name, group)| group.versions.iter().map(move |version| (name, version)));
        let versions = versions.filter(|(_, version)| version.version.as_deref().is_some_and(&is_version));
        versions.flat_map(|(name, version)| version.resources.iter().map(move |known| (name, known)))
    };
    let found = resources().find(|(_, known)| has_name(known, resource));
    let found = found.or_else(|| resources().find(|(_, known)| known.short_names.iter().any(|name| name == resource)));
    found.and_then(|(group, known)| Some((group.to_owned(), kind(known)?.to_owned())))
}

/// The first version of a group that has a kind. The API server lists the preferred one first.
fn preferred_version(groups: &[APIGroupDiscovery], group: &str, name: &str) -> Option<String> {
    let versions = &groups.iter().find(|known| is_group(known, group))?.versions;
    let has_kind = |version: &&APIVersionDiscovery| version.resources.iter().any(|known| kind(known) == Some(name));
    versions.iter().find(has_kind)?.version.clone()
}

fn is_group(known: &APIGroupDiscovery, group: &str) -> bool {
    known.metadata.as_ref().and_then(|it| it.name.as_deref()) == Some(group)
}

fn kind(known: &APIResourceDiscovery) -> Option<&str> {
    known.response_kind.as_ref()?.kind.as_deref()
}

fn has_name(known: &APIResourceDiscovery, name: &str) -> bool {
    known.resource.as_deref() == Some(name)
        || known.singular_resource.as_deref() == Some(name)
        || kind(known).is_some_and(|kind| kind.to_lowercase() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, versions: &[(&str, [&str; 4])]) -> APIGroupDiscovery {
        let versions = versions.iter().map(|(version, [plural, singular, kind, short])| {
            serde_json::json!({"version": version, "resources": [{
                "resource": plural, "singularResource": singular, "responseKind": {"kind": kind}, "shortNames": [short],
            }]})
        });
        let versions: Vec<_> = versions.collect();
        serde_json::from_value(serde_json::json!({"metadata": {"name": name}, "versions": versions})).unwrap()
    }

    #[test]
    fn a_resource_is_found_in_any_version_and_by_any_of_its_names() {
        let rollout = ["rollouts", "rollout", "Rollout", "ro"];
        let groups = [
            group("first.example", &[("v1", ["rollovers", "rollover", "Rollover", "rollout"])]),
            group("argoproj.io", &[("v1alpha1", rollout)]),
            group(
                "mixed.example",
                &[
                    ("v1beta1", ["sidecars", "sidecar", "Sidecar", "sc"]),
                    ("v1alpha1", ["clonesets", "cloneset", "CloneSet", "clone"]),
                ],
            ),
            group("other.example", &[("v1", rollout)]),
            group("core.example", &[("v1", ["settings", "setting", "Setting", "set"])]),
        ];
        for (resource, name, expected) in [
            ("rollouts", "argoproj.io", Some(("argoproj.io", "Rollout"))),
            ("rollout", "argoproj.io", Some(("argoproj.io", "Rollout"))),
            ("ro", "argoproj.io", Some(("argoproj.io", "Rollout"))),
            ("ro", "", Some(("argoproj.io", "Rollout"))),
            ("rollout", "", Some(("argoproj.io", "Rollout"))),
            ("rollout", "other.example", Some(("other.example", "Rollout"))),
            ("rollout", "argoproj", Some(("argoproj.io", "Rollout"))),
            ("rollouts", "v1alpha1.argoproj.io", Some(("argoproj.io", "Rollout"))),
            ("rollouts", "v1.argoproj.io", None),
            ("cloneset", "mixed.example", Some(("mixed.example", "CloneSet"))),
            ("clone", "v1alpha1.mixed.example", Some(("mixed.example", "CloneSet"))),
            ("cloneset", "v1beta1.mixed.example", None),
            ("pods", "", None),
            ("setting", "core.e", Some(("core.example", "Setting"))),
            ("setting", "core", None),
        ] {
            let found = find(&groups, resource, name);
            let expected = expected.map(|(group, kind)| (group.to_owned(), kind.to_owned()));
            assert_eq!(found, expected, "{resource}.{name}");
        }
    }
}
