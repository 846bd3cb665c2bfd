//! How targets are named: the objects whose counts are held.

use std::{fmt, ops::Deref, sync::Arc};

/// The longest name of a Kubernetes object, in bytes (RFC 1123 subdomain).
const MAX_NAME: usize = 253;

/// The longest kind, in bytes (RFC 1123 label).
const MAX_KIND: usize = 63;

/// Why something cannot be a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// The name of the field, and what is wrong with it.
    #[error("{0} must not be empty")]
    Empty(&'static str),
    /// Not a name that Kubernetes accepts.
    #[error(
        "{field} {value:?} is not a DNS subdomain: lower-case letters, digits, '-' and '.', starting and ending with a letter or digit"
    )]
    NotADnsName {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// Not a kind that Kubernetes accepts.
    #[error("kind {0:?} is not a kind: letters and digits, starting with a letter")]
    NotAKind(String),
    /// Longer than Kubernetes accepts.
    #[error("{field} is {length} characters long: the most is {max}")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Its length, in bytes.
        length: usize,
        /// The most, in bytes.
        max: usize,
    },
    /// A ReplicaCount as the target of another.
    #[error("kind ReplicaCount cannot be a target")]
    ReplicaCount,
    /// An apiVersion without a group.
    #[error("apiVersion must be <group>/<version>")]
    ApiVersion,
}

impl InvalidTarget {
    /// The field of the request that is at fault: `namespace`, `group`, `kind` or `name`.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Empty(field) | Self::NotADnsName { field, .. } | Self::TooLong { field, .. } => field,
            Self::ReplicaCount | Self::NotAKind(_) => "kind",
            Self::ApiVersion => "apiVersion",
        }
    }
}

/// A kind of targets in any version. Cheap to clone: every target holds one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKind(Arc<GroupKindNames>);

/// The names of a [`GroupKind`].
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKindNames {
    /// The kind, such as `Deployment`.
    pub kind: Box<str>,
    /// The API group, such as `apps`.
    pub group: Box<str>,
}

impl Deref for GroupKind {
    type Target = GroupKindNames;

    fn deref(&self) -> &GroupKindNames {
        &self.0
    }
}

impl GroupKind {
    /// Of these names, unchecked.
    pub fn new(kind: &str, group: &str) -> Self {
        Self(Arc::new(GroupKindNames { kind: kind.into(), group: group.into() }))
    }

    /// The kind that is meant where none is named.
    pub fn deployment() -> Self {
        Self::new("Deployment", "apps")
    }

    /// Whether this is the kind that is meant where none is named.
    pub fn is_deployment(&self) -> bool {
        &*self.kind == "Deployment" && &*self.group == "apps"
    }

    /// Whether this is the ReplicaSet, which is no target of its own where a Deployment controls it.
    pub fn is_replica_set(&self) -> bool {
        &*self.kind == "ReplicaSet" && &*self.group == "apps"
    }
}

/// Names one target. Ordered by namespace, kind, group and name, as lists are.
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
    /// Checks the parts of a key. An empty group means `apps`, an empty kind `Deployment`.
    ///
    /// # Errors
    ///
    /// Names the part that no target can have, and why.
    pub fn new(namespace: &str, group: &str, kind: &str, name: &str) -> Result<Self, InvalidTarget> {
        let group = if group.is_empty() { "apps" } else { group };
        let kind = if kind.is_empty() { "Deployment" } else { kind };
        check_dns_name("namespace", namespace, 63)?;
        check_dns_name("group", group, MAX_NAME)?;
        if kind.len() > MAX_KIND {
            return Err(InvalidTarget::TooLong { field: "kind", length: kind.len(), max: MAX_KIND });
        }
        if !kind.starts_with(|c: char| c.is_ascii_alphabetic()) || !kind.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(InvalidTarget::NotAKind(kind.into()));
        }
        if group == super::GROUP && kind.eq_ignore_ascii_case("ReplicaCount") {
            return Err(InvalidTarget::ReplicaCount);
        }
        let key = Self { namespace: namespace.into(), kind: GroupKind::new(kind, group), name: name.into() };
        // The ReplicaCount's own name holds the target's, so the target's has less room.
        let prefix = key.replica_count_name().len() - name.len();
        check_dns_name("name", name, MAX_NAME.saturating_sub(prefix))?;
        Ok(key)
    }

    /// What comes before every key of a namespace, and after those of the namespaces before it; it names no target.
    pub(crate) fn first_in(namespace: &str) -> Self {
        Self { namespace: namespace.into(), kind: GroupKind::new("", ""), name: "".into() }
    }

    /// The name of the `ReplicaCount` of this target; the CRD's schema holds the same rule.
    pub fn replica_count_name(&self) -> String {
        let kind = self.kind.kind.to_ascii_lowercase();
        match &*self.kind.group {
            "apps" => format!("{kind}.{}", self.name),
            group => format!("{kind}.{group}.{}", self.name),
        }
    }
}

/// Writes the target as kubectl does: `deployment.apps/web in namespace shop`.
impl fmt::Display for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.kind.to_ascii_lowercase();
        write!(f, "{kind}.{}/{} in namespace {}", self.kind.group, self.name, self.namespace)
    }
}

fn check_dns_name(field: &'static str, value: &str, max: usize) -> Result<(), InvalidTarget> {
    let alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.iter().all(|&c| alphanumeric(c) || c == b'-')
            && bytes.first().is_some_and(|&c| alphanumeric(c))
            && bytes.last().is_some_and(|&c| alphanumeric(c))
    };
    if value.is_empty() {
        Err(InvalidTarget::Empty(field))
    } else if value.len() > max {
        Err(InvalidTarget::TooLong { field, length: value.len(), max })
    } else if !value.split('.').all(label) {
        Err(InvalidTarget::NotADnsName { field, value: value.into() })
    } else {
        Ok(())
    }
}

/// Writes the kind as in `Deployment.apps`.
impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind, self.group)
    }
}
