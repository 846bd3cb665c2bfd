//! The keys of targets, and the check that a target can have such a key.

use std::{fmt, sync::Arc};

use contract::names::replica_count_name;

use super::{group_kind::GroupKind, names::GROUP};

/// The longest name of a Kubernetes object, in bytes (RFC 1123 subdomain).
const MAX_NAME: usize = 253;

/// The longest name of a namespace, in bytes (RFC 1123 label).
const MAX_NAMESPACE: usize = 63;

/// The longest kind, in bytes (RFC 1123 label).
const MAX_KIND: usize = 63;

/// Why an object cannot be a target. Each message names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// The field of this name is empty.
    #[error("{0} must not be empty")]
    Empty(&'static str),
    /// Kubernetes accepts no such name.
    #[error(
        "{field} {value:?} is not a DNS subdomain: lower-case letters, digits, '-' and '.', starting and ending with a letter or digit"
    )]
    NotADnsName {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// Kubernetes accepts no such namespace.
    #[error(
        "namespace {0:?} is not a DNS label: lower-case letters, digits and '-', starting and ending with a letter or digit"
    )]
    NotADnsLabel(String),
    /// Kubernetes accepts no such kind.
    #[error("kind {0:?} is not a kind: letters and digits, starting with a letter")]
    NotAKind(String),
    /// The value is longer than Kubernetes accepts.
    #[error("{field} is {length} characters long: the most is {max}")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Its length, in bytes.
        length: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// The target is a ReplicaCount.
    #[error("kind ReplicaCount cannot be a target")]
    ReplicaCount,
    /// The apiVersion names no group.
    #[error("apiVersion must be <group>/<version>, or v1 for the core group")]
    ApiVersion,
}

impl InvalidTarget {
    /// The invalid field of the request: `namespace`, `group`, `kind`, `name` or `apiVersion`.
    pub(crate) fn field(&self) -> &'static str {
        match self {
            Self::Empty(field) | Self::NotADnsName { field, .. } | Self::TooLong { field, .. } => field,
            Self::NotADnsLabel(_) => "namespace",
            Self::ReplicaCount | Self::NotAKind(_) => "kind",
            Self::ApiVersion => "apiVersion",
        }
    }
}

/// The key of one target. Keys are ordered by namespace, kind, group and name, which is the order of lists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetKey {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The group and kind.
    pub kind: GroupKind,
    /// The name.
    pub name: Arc<str>,
}

impl TargetKey {
    /// Checks the parts of a key. An empty group means `apps`, the group `core` is the core group, and an empty kind means
    /// `Deployment`.
    ///
    /// # Errors
    ///
    /// Names the invalid part, and says why no target can have it.
    pub fn new(namespace: &str, group: &str, kind: &str, name: &str) -> Result<Self, InvalidTarget> {
        let group = if group.is_empty() { "apps" } else { group };
        let kind = if kind.is_empty() { "Deployment" } else { kind };
        check_namespace_name(namespace)?;
        check_dns_name("group", group, MAX_NAME)?;
        if kind.len() > MAX_KIND {
            return Err(InvalidTarget::TooLong { field: "kind", length: kind.len(), max: MAX_KIND });
        }
        if !kind.starts_with(|c: char| c.is_ascii_alphabetic()) || !kind.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(InvalidTarget::NotAKind(kind.into()));
        }
        if group == GROUP && kind.eq_ignore_ascii_case("ReplicaCount") {
            return Err(InvalidTarget::ReplicaCount);
        }
        let key = Self { namespace: namespace.into(), kind: GroupKind::new(kind, group), name: name.into() };
        // The ReplicaCount's name is a prefix and the target's name, and has a limit of its own.
        let prefix = key.replica_count_name().len() - name.len();
        check_dns_name("name", name, MAX_NAME.saturating_sub(prefix))?;
        Ok(key)
    }

    /// A lower bound for the keys of a namespace. It is greater than every key of the namespaces before it, and it is
    /// no target's key.
    pub(crate) fn first_in(namespace: &str) -> Self {
        Self { namespace: namespace.into(), kind: GroupKind::new("", ""), name: "".into() }
    }

    /// The name of the target's `ReplicaCount`.
    pub fn replica_count_name(&self) -> String {
        replica_count_name(&self.kind.kind, &self.kind.group, &self.name)
    }
}

/// Writes the key as kubectl writes objects: `deployment.apps/web in namespace shop`.
impl fmt::Display for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.kind.to_ascii_lowercase();
        write!(f, "{kind}.{}/{} in namespace {}", self.kind.group, self.name, self.namespace)
    }
}

/// Checks that a namespace can have a name.
///
/// # Errors
///
/// Says why it cannot.
pub(crate) fn check_namespace_name(name: &str) -> Result<(), InvalidTarget> {
    let not_a_label = |error| match error {
        InvalidTarget::NotADnsName { value, .. } => InvalidTarget::NotADnsLabel(value),
        other => other,
    };
    check_dns_name("namespace", name, MAX_NAMESPACE).map_err(not_a_label)?;
    if name.contains('.') { Err(InvalidTarget::NotADnsLabel(name.into())) } else { Ok(()) }
}

fn check_dns_name(field: &'static str, value: &str, max: usize) -> Result<(), InvalidTarget> {
    let is_alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.iter().all(|&c| is_alphanumeric(c) || c == b'-')
            && bytes.first().is_some_and(|&c| is_alphanumeric(c))
            && bytes.last().is_some_and(|&c| is_alphanumeric(c))
    };
    if value.is_empty() {
        Err(InvalidTarget::Empty(field))
    } else if value.len() > max {
        Err(InvalidTarget::TooLong { field, length: value.len(), max })
    } else if !value.split('.').all(is_label) {
        Err(InvalidTarget::NotADnsName { field, value: value.into() })
    } else {
        Ok(())
    }
}
