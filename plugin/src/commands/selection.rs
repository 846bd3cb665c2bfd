//! The targets that `list`, `export`, `blame` and `wait` are about.

use clap::Args;
use contract::replicas::v1::{ListReplicaCountsRequest, ReplicaCount};
use futures::{StreamExt, stream};

use super::{
    batch::{self, Failures},
    read,
};
use crate::{
    error::Error,
    session::Session,
    target::{self, KindRef, TargetRef},
    words::{self, Listed},
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

impl SelectionArgs {
    /// Chooses the targets of these kinds in a namespace or in all of them.
    pub(super) fn new(words: Vec<String>, all_namespaces: bool, selector: Option<String>) -> Self {
        Self { words, all_namespaces, selector }
    }

    /// Reads the words. A flag that chooses targets cannot stand beside the names of targets.
    pub(super) fn parse(&self, more_flags: &[(bool, &'static str)]) -> Result<Listed, Error> {
        let listed = words::parse_listed(&self.words)?;
        let flags = [(self.all_namespaces, "--all-namespaces"), (self.selector.is_some(), "--selector")];
        let given = flags.iter().chain(more_flags).find(|(is_given, _)| *is_given);
        match (&listed, given) {
            (Listed::Targets(_), Some((_, flag))) => Err(words::Error::Names { flag }.into()),
            _ => Ok(listed),
        }
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
    pub(super) async fn name_kinds(session: &Session, kinds: Vec<KindRef>) -> Result<Vec<String>, Error> {
        let mut names = Vec::with_capacity(kinds.len());
        for kind in kinds {
            let any = session.resolve(&TargetRef { kind, name: String::new() }).await?;
            names.push(target::name(&any));
        }
        Ok(names)
    }

    /// The namespace of requests. It is empty for all namespaces.
    pub(super) fn namespace(&self, session: &Session) -> String {
        if self.all_namespaces { String::new() } else { session.namespace.clone() }
    }

    /// The label selector of requests. It is empty if there is none.
    pub(super) fn label_selector(&self) -> String {
        self.selector.clone().unwrap_or_default()
    }

    /// Gets the list. If kinds are given, it keeps only their targets.
    async fn list(
        &self,
        session: &Session,
        kinds: Vec<KindRef>,
        all_targets: bool,
    ) -> Result<Vec<ReplicaCount>, Error> {
        let wanted = Self::name_kinds(session, kinds).await?;
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

/// Gets each target. The error of a single one becomes the error of the command, and so does that of the connection.
async fn get_each(session: &Session, targets: &[TargetRef], with_unmanaged: bool) -> Result<Found, Error> {
    let get = async |target: &TargetRef| {
        let target = session.resolve(target).await?;
        Ok::<_, Error>(match with_unmanaged {
            true => read::of_target(session, &target).await?,
            false => read::managed(session, &target).await?,
        })
    };
    if let [target] = targets {
        return Ok(Found { counts: vec![get(target).await?], failures: Failures::default() });
    }
    let results = stream::iter(targets).map(get).buffered(batch::AT_ONCE);
    let mut results = std::pin::pin!(results.zip(stream::iter(targets)));
    let (mut counts, mut failures) = (Vec::new(), Failures::default());
    while let Some((result, target)) = results.next().await {
        match result {
            Err(error) if batch::is_of_connection(&error) => return Err(error),
            Err(error) => failures.add(&target.to_string(), error),
            Ok(count) => counts.push(count),
        }
    }
    Ok(Found { counts, failures })
}
