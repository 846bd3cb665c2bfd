//! Resource versions as numbers. The versions of one resource can be compared (Kubernetes enhancement 5504).

use kube::core::ObjectMeta;

/// The resource version of an object; 0 if it has none.
pub(crate) fn resource_version(metadata: &ObjectMeta) -> u64 {
    parse_resource_version(metadata.resource_version.as_deref().unwrap_or_default())
}

/// Reads a resource version. A text that is not a number, which no API server sends, becomes 0 and so sorts first.
pub(crate) fn parse_resource_version(version: &str) -> u64 {
    version.parse().unwrap_or(0)
}
