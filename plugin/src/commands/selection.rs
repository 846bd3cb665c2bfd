//! The targets that `list`, `export`, `blame` and `wait` are about.

use clap::Args;
use contract::replicas::v1::{ListReplicaCountsRequest, ReplicaCount, Target};

use super::{
    batch::{self, Failures},
    read,
    resolve::{self, Resolver},
};
use crate::{
    error::Error,
    kubernetes,
    session::Session,
    target::{self, TargetRef},
    words::{self, Kinds, Listed, ListedWords},
};

/// The arguments that choose targets.
#[derive(Debug, Args)]
pub(super) struct SelectionArgs {
    /// Take only these kinds (sts, or deploy,sts) or these targets (web, sts/db, sts db)
    #[arg(value_name = "KIND|TARGET")]
    words: Vec<String>,
    /// Take those of all namespaces
    #[arg(short = 'A', long)]
    pub(super) all_namespaces: bool,
    /// Take only targets that this label selector selects
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
}

/// The replica counts that were found, and the result for targets that were named.
pub(super) struct Selected {
    pub(super) counts: Vec<ReplicaCount>,
    pub(super) result: Result<(), Error>,
}

/// The replica counts that were found, and the failures of targets that were named.
pub(super) struct Found {
    pub(super) counts: Vec<ReplicaCount>,
    pub(super) failures: Failures,
}

/// A label selector without the blanks around it. A blank one counts as absent, as in kubectl: scripts write `-l
/// "$SELECTOR"`.
pub(super) fn given_selector(selector: Option<&str>) -> Option<&str> {
    selector.map(str::trim).filter(|selector| !selector.is_empty())
}

/// Whether a label selector was given that counts as absent.
pub(super) fn is_blank(selector: Option<&str>) -> bool {
    selector.is_some() && given_selector(selector).is_none()
}

impl SelectionArgs {
    /// Chooses targets in a namespace or in all of them.
    pub(super) fn new(all_namespaces: bool, selector: Option<String>) -> Self {
        Self { words: Vec::new(), all_namespaces, selector }
    }

    /// Reads the words. A flag that chooses targets cannot stand beside the names of targets.
    pub(super) fn parse(&self, more_flags: &[(bool, &'static str)]) -> Result<ListedWords, Error> {
        let has_selector = given_selector(self.selector.as_deref()).is_some();
        let flags = [(self.all_namespaces, "--all-namespaces"), (has_selector, "--selector")];
        let given = flags.iter().chain(more_flags).find(|(is_given, _)| *is_given);
        Ok(match given {
            Some(&(_, flag)) => ListedWords::Clear(Listed::Kinds(words::parse_kinds(&self.words, flag)?)),
            None => words::parse_listed(&self.words)?,
        })
    }

    /// Refuses a blank label selector of a command that writes, unless targets are named. It would take all targets
    /// instead of those with a label.
    pub(super) fn check_selector(&self, words: &ListedWords) -> Result<(), Error> {
        match words {
            ListedWords::Clear(Listed::Targets(_)) => Ok(()),
            _ if is_blank(self.selector.as_deref()) => Err(words::Error::BlankSelector.into()),
            _ => Ok(()),
        }
    }

    /// Finds out whether a word that the command line leaves open is a kind.
    pub(super) async fn settle(session: &Session, words: ListedWords) -> Result<Listed, Error> {
        Ok(match words {
            ListedWords::Clear(listed) => listed,
            ListedWords::Open { kind, target } => match resolve::is_kind(session, &kind).await? {
                true => Listed::Kinds(Kinds { kinds: vec![kind], flag: None }),
                false => Listed::Targets(vec![target]),
            },
        })
    }

    /// Reads the replica counts. Unmanaged targets are among them if `with_unmanaged`.
    pub(super) async fn read(
        &self,
        session: &Session,
        listed: Listed,
        with_unmanaged: bool,
        done: &'static str,
    ) -> Result<Selected, Error> {
        let all = match &listed {
            Listed::Kinds(_) => 0,
            Listed::Targets(targets) => targets.len(),
        };
        let Found { counts, failures } = self.find(session, listed, with_unmanaged).await?;
        Ok(Selected { counts, result: batch::finish(failures.report(), all, done) })
    }

    /// Reads the replica counts as [`read`](Self::read), and leaves the failures of single targets to the caller.
    pub(super) async fn find(&self, session: &Session, listed: Listed, with_unmanaged: bool) -> Result<Found, Error> {
        match listed {
            Listed::Kinds(kinds) => {
                let counts = self.list(session, kinds, with_unmanaged).await?;
                Ok(Found { counts, failures: Failures::default() })
            }
            Listed::Targets(targets) => get_each(session, &targets, with_unmanaged).await,
        }
    }

    /// The names of kinds, up to the name of a target: `deployment.apps/`.
    pub(super) async fn name_kinds(
        &self,
        session: &Session,
        Kinds { kinds, flag }: Kinds,
    ) -> Result<Vec<String>, Error> {
        let resolver = Resolver::new(session, self.namespace(session));
        let mut names = Vec::with_capacity(kinds.len());
        for kind in kinds {
            let name = resolver.kind(kind).await.map_err(|error| match (error, flag) {
                // Without a group, it looks like a name.
                (Error::Kubernetes(kubernetes::Error::NoResource { resource, group }), Some(flag))
                    if group.is_empty() =>
                {
                    Error::from(words::Error::NoKind { word: resource, flag })
                }
                (error, _) => error,
            })?;
            names.push(name);
        }
        Ok(names)
    }

    /// The namespace of requests. It is empty for all namespaces.
    pub(super) fn namespace(&self, session: &Session) -> String {
        if self.all_namespaces { String::new() } else { session.namespace.clone() }
    }

    /// The label selector of requests. It is empty if there is none.
    pub(super) fn label_selector(&self) -> String {
        given_selector(self.selector.as_deref()).unwrap_or_default().to_owned()
    }

    /// Gets the list. If kinds are given, it keeps only their targets.
    pub(super) async fn list(
        &self,
        session: &Session,
        kinds: Kinds,
        all_targets: bool,
    ) -> Result<Vec<ReplicaCount>, Error> {
        let wanted = self.name_kinds(session, kinds).await?;
        let request = ListReplicaCountsRequest {
            namespace: self.namespace(session),
            label_selector: self.label_selector(),
            all_targets,
            ..ListReplicaCountsRequest::default()
        };
        let mut counts = read::list(session, request).await?;
        counts.retain(|count| {
            let name = target::name(&count.target.clone().unwrap_or_default());
            wanted.is_empty() || wanted.iter().any(|kind| name.starts_with(kind.as_str()))
        });
        Ok(counts)
    }

    /// Says that there are no such targets.
    pub(super) fn describe_empty(&self, what: &str, namespace: &str) -> String {
        match self.all_namespaces {
            true => format!("No {what} found."),
            false => format!("No {what} found in namespace {namespace}."),
        }
    }
}

/// Gets each target, as [`resolve::each`] does.
pub(super) async fn get_each(session: &Session, targets: &[TargetRef], with_unmanaged: bool) -> Result<Found, Error> {
    let get = async |target: Target| {
        Ok::<_, Error>(match with_unmanaged {
            true => read::of_target(session, &target).await?,
            false => read::managed(session, &target).await?,
        })
    };
    let (counts, failures) = resolve::each(session, targets, get).await?;
    Ok(Found { counts, failures })
}
