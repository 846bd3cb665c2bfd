//! The name of a target, on the command line and in the output.

use std::{fmt, str::FromStr};

use contract::{names::CORE_GROUP, replicas::v1::Target};

use crate::dns;

/// The accepted forms of a target, for hints.
const FORMS: &str = "NAME (a Deployment), deployment/NAME, statefulset/NAME, replicaset/NAME, \
                     replicationcontroller/NAME, or RESOURCE.GROUP/NAME such as rollouts.argoproj.io/web; kubectl's \
                     short names are accepted too";

/// The kinds that need no discovery, each with its singular, its plural and its short name.
const BUILT_IN: [(BuiltIn, [&str; 3]); 4] = [
    (BuiltIn { kind: "Deployment", group: "apps" }, ["deployment", "deployments", "deploy"]),
    (BuiltIn { kind: "StatefulSet", group: "apps" }, ["statefulset", "statefulsets", "sts"]),
    (BuiltIn { kind: "ReplicaSet", group: "apps" }, ["replicaset", "replicasets", "rs"]),
    (
        BuiltIn { kind: "ReplicationController", group: CORE_GROUP },
        ["replicationcontroller", "replicationcontrollers", "rc"],
    ),
];

/// A kind that every API server serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BuiltIn {
    pub(crate) kind: &'static str,
    pub(crate) group: &'static str,
}

/// A target as the user names it: `web`, `sts/db`, `widgets.example.com/x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetRef {
    pub(crate) kind: KindRef,
    pub(crate) name: String,
}

/// The kind of a target as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KindRef {
    /// A kind that needs no discovery.
    BuiltIn(BuiltIn),
    /// A resource of any group. Only the API server knows its kind.
    Resource {
        /// The plural, the singular, the kind or a short name, such as `widgets`, in small letters.
        resource: String,
        /// The API group, such as `example.com`, perhaps after a version. Empty if the word has none.
        group: String,
    },
}

/// Why a word does not name a target.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("{} is not a target: {what} must not be empty", quote(word))]
    Empty { word: String, what: &'static str },
    #[error("{} is not a target: there is more than one slash", quote(word))]
    Slashes { word: String },
    #[error("{} is not a target: its name is not that of an object", quote(word))]
    Name { word: String },
    #[error("{} is not a target: the kind {} is unknown", quote(word), quote(kind))]
    Kind { word: String, kind: String },
    #[error("{target} is named twice")]
    Twice { target: String },
}

impl Error {
    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Name { .. } => {
                Some("a name has up to 253 lower-case letters, digits, '-' and '.', as kubectl shows it".to_owned())
            }
            Self::Empty { .. } | Self::Slashes { .. } | Self::Kind { .. } => Some(format!("use {FORMS}")),
            Self::Twice { .. } => None,
        }
    }
}

impl FromStr for TargetRef {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        let (kind, name) = match word.split_once('/') {
            None => (None, word),
            Some((_, name)) if name.contains('/') => return Err(Error::Slashes { word: word.to_owned() }),
            Some((kind, name)) => (Some(kind), name),
        };
        let empty = |what| Error::Empty { word: word.to_owned(), what };
        let kind = match kind {
            None => KindRef::BuiltIn(BuiltIn { kind: "Deployment", group: "apps" }),
            Some("") => return Err(empty("the kind")),
            Some(kind) => {
                parse_kind(kind).ok_or_else(|| Error::Kind { word: word.to_owned(), kind: kind.to_owned() })?
            }
        };
        Self::new(kind, name, word)
    }
}

impl TargetRef {
    /// Names a target of a kind. The word is what the user wrote, for the error.
    pub(crate) fn new(kind: KindRef, name: &str, word: &str) -> Result<Self, Error> {
        match name {
            "" => Err(Error::Empty { word: word.to_owned(), what: "the name" }),
            name if dns::is_subdomain(name) => Ok(Self { kind, name: name.to_owned() }),
            _ => Err(Error::Name { word: word.to_owned() }),
        }
    }
}

/// The most characters of a word that an error quotes: enough to recognise it, and a line of a terminal holds them.
const MAX_QUOTED: usize = 60;

/// Quotes a word of the user in an error, shortened.
fn quote(word: &str) -> String {
    match word.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{:?}…", &word[..end]),
        None => format!("{word:?}"),
    }
}

/// Reads `deploy`, `deployments.apps`, `deployments.v1.apps`, `widgets.example.com` or `widgets`, in any case, as kubectl
/// does. A kind that needs discovery may be of the groups of the built-in ones, too, such as `daemonset.apps`.
pub(crate) fn parse_kind(text: &str) -> Option<KindRef> {
    let text = text.to_ascii_lowercase();
    let (resource, group) = text.split_once('.').map_or((&*text, None), |(resource, group)| (resource, Some(group)));
    let is_group_of = |built_in: &BuiltIn, group: &str| group.strip_prefix("v1.").unwrap_or(group) == built_in.group;
    let is_named = |(built_in, names): &&(BuiltIn, [&str; 3])| {
        names.contains(&resource) && group.is_none_or(|group| is_group_of(built_in, group))
    };
    match (BUILT_IN.iter().find(is_named), group) {
        (Some((built_in, _)), _) => Some(KindRef::BuiltIn(*built_in)),
        (None, group) if dns::is_subdomain(resource) && group.is_none_or(dns::is_subdomain) => {
            Some(KindRef::Resource { resource: resource.to_owned(), group: group.unwrap_or_default().to_owned() })
        }
        _ => None,
    }
}

impl fmt::Display for TargetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            KindRef::BuiltIn(BuiltIn { kind, group }) => {
                write!(f, "{}.{group}/{}", kind.to_ascii_lowercase(), self.name)
            }
            KindRef::Resource { resource, group } if group.is_empty() => write!(f, "{resource}/{}", self.name),
            KindRef::Resource { resource, group } => write!(f, "{resource}.{group}/{}", self.name),
        }
    }
}

/// The short names of the kinds that need no discovery, and their names.
pub(crate) fn kinds() -> impl Iterator<Item = (&'static str, &'static str)> {
    BUILT_IN.iter().map(|(built_in, [_, _, short])| (*short, built_in.kind))
}

/// Refuses a target that is named twice, since two requests for it could contradict each other.
pub(crate) fn check_distinct(targets: &[&TargetRef]) -> Result<(), Error> {
    let again = |(index, target): &(usize, &&TargetRef)| targets[..*index].contains(target);
    match targets.iter().enumerate().find(again) {
        Some((_, target)) => Err(Error::Twice { target: target.to_string() }),
        None => Ok(()),
    }
}

/// The name of a target as kubectl writes it, and as every command accepts it: `deployment.apps/web`.
pub(crate) fn name(target: &Target) -> String {
    let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
    format!("{}.{}/{}", or(&target.kind, "Deployment").to_ascii_lowercase(), or(&target.group, "apps"), target.name)
}

/// The name of a target, with its namespace if that is another one than the command's.
pub(crate) fn shown(target: &Target, home: &str) -> String {
    match target.namespace.as_str() {
        namespace if namespace == home => name(target),
        namespace => format!("{} in {namespace}", name(target)),
    }
}

/// The name of a target and its namespace, as a command accepts them: `deployment.apps/web -n shop`.
pub(crate) fn in_namespace(target: &Target) -> String {
    match target.namespace.as_str() {
        "" => name(target),
        namespace => format!("{} -n {namespace}", name(target)),
    }
}

/// The name of a target after the flag of its namespace, as commands accept both: `--namespace=shop deployment.apps/web`.
pub(crate) fn with_flag(target: &Target) -> String {
    format!("--namespace={} {}", target.namespace, name(target))
}

/// The arguments that a command accepts for a target as [`shown`] shows it.
pub(crate) fn arguments(shown: &str) -> String {
    match shown.split_once(" in ") {
        Some((name, namespace)) => format!("{name} -n {namespace}"),
        None => shown.to_owned(),
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(word: &str) -> TargetRef {
        word.parse().unwrap()
    }

    #[test]
    fn the_built_in_kinds_have_the_names_that_kubectl_knows() {
        let table = [
            ("web", "deployment.apps/web"),
            ("web.v1", "deployment.apps/web.v1"),
            ("deployment/web", "deployment.apps/web"),
            ("deployments/web", "deployment.apps/web"),
            ("deploy/web", "deployment.apps/web"),
            ("Deployment/web", "deployment.apps/web"),
            ("deployment.apps/web", "deployment.apps/web"),
            ("deployment.v1.apps/web", "deployment.apps/web"),
            ("DEPLOY/web", "deployment.apps/web"),
            ("deployments.apps/web", "deployment.apps/web"),
            ("sts/db", "statefulset.apps/db"),
            ("statefulset/db", "statefulset.apps/db"),
            ("statefulsets.apps/db", "statefulset.apps/db"),
            ("rs/x", "replicaset.apps/x"),
            ("rc/x", "replicationcontroller.core/x"),
            ("replicationcontroller/x", "replicationcontroller.core/x"),
            ("ReplicationControllers/x", "replicationcontroller.core/x"),
            ("replicationcontroller.core/x", "replicationcontroller.core/x"),
            ("rc.core/x", "replicationcontroller.core/x"),
        ];
        for (word, name) in table {
            let target = parse(word);
            assert!(matches!(target.kind, KindRef::BuiltIn(_)), "{word}");
            assert_eq!(target.to_string(), name, "{word}");
        }
    }

    #[test]
    fn other_resources_are_named_with_their_group() {
        let widgets = KindRef::Resource { resource: "widgets".to_owned(), group: "example.com".to_owned() };
        assert_eq!(parse("widgets.example.com/x"), TargetRef { kind: widgets, name: "x".to_owned() });
        assert!(matches!(parse("deployments.example.com/x").kind, KindRef::Resource { .. }));
        let short = KindRef::Resource { resource: "ro".to_owned(), group: String::new() };
        assert_eq!(parse("RO/web"), TargetRef { kind: short, name: "web".to_owned() });
        assert_eq!(parse("ro/web").to_string(), "ro/web");
    }

    #[test]
    fn each_name_that_is_shown_is_accepted() {
        for (what, group, kind, shown) in [
            ("a built-in kind", "apps", "Deployment", "deployment.apps/x"),
            ("a kind that cannot be scaled", "apps", "DaemonSet", "daemonset.apps/x"),
            ("a built-in kind of the core group", CORE_GROUP, "ReplicationController", "replicationcontroller.core/x"),
            ("another kind of the core group", CORE_GROUP, "ConfigMap", "configmap.core/x"),
            ("a built-in kind in another group", "example.com", "Deployment", "deployment.example.com/x"),
            ("another kind", "argoproj.io", "Rollout", "rollout.argoproj.io/x"),
        ] {
            let [namespace, group, kind, target] = ["shop", group, kind, "x"].map(str::to_owned);
            let target = Target { namespace, group, kind, name: target };
            assert_eq!(name(&target), shown, "{what}");
            assert_eq!(parse(shown).to_string(), shown, "{what}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_accepted_forms() {
        for word in ["", "/", "/web", "deploy/", "a/b/c", "Web", "we_b", "-web", "web=3", "deploy./x", "a..b/x"] {
            let error = word.parse::<TargetRef>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("{word:?} is not a target: ")), "{error}");
            assert!(error.hint().is_some());
        }
        let error = "a".repeat(300).parse::<TargetRef>().unwrap_err().to_string();
        assert_eq!(error, format!("\"{}\"… is not a target: its name is not that of an object", "a".repeat(60)));
    }

    #[test]
    fn a_target_that_is_shown_has_the_arguments_of_a_command() {
        let target = Target { namespace: "shop".to_owned(), name: "web".to_owned(), ..Target::default() };
        for (name, home, arguments_of) in [
            ("the namespace of the command", "shop", "deployment.apps/web"),
            ("another namespace", "default", "deployment.apps/web -n shop"),
        ] {
            assert_eq!(arguments(&shown(&target, home)), arguments_of, "{name}");
        }
        assert_eq!(with_flag(&target), "--namespace=shop deployment.apps/web");
        assert_eq!(in_namespace(&target), "deployment.apps/web -n shop");
        assert_eq!(in_namespace(&Target { namespace: String::new(), ..target }), "deployment.apps/web");
    }

    #[test]
    fn a_target_that_is_named_twice_is_refused() {
        let (web, same, db) = (parse("web"), parse("deploy/web"), parse("sts/web"));
        assert_eq!(check_distinct(&[&web, &db]), Ok(()));
        assert_eq!(check_distinct(&[&web, &db, &same]).unwrap_err().to_string(), "deployment.apps/web is named twice");
    }
}
