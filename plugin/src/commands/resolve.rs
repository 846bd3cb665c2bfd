//! Turns the names of targets and kinds that users write into those that the server knows.

use std::pin::pin;

use contract::{
    names::reasons,
    replicas::v1::{ListReplicaCountsRequest, ReplicaCount, Target},
};
use futures::{StreamExt, stream};
use tokio::sync::OnceCell;

use super::{
    batch::{self, AT_ONCE, Failures},
    read,
};
use crate::{
    error::Error,
    kubernetes, refusal,
    session::{CallError, Session},
    target::{self, KindRef, TargetRef},
    words,
};

/// Resolves names. If the API server does not know a kind, as after its CRD was deleted, or cannot be asked, the managed
/// targets are searched for the name as `list` shows it.
pub(super) struct Resolver<'a> {
    session: &'a Session,
    /// The namespace of the managed targets. It is empty for all namespaces.
    namespace: String,
    managed: OnceCell<Vec<Target>>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(session: &'a Session, namespace: String) -> Self {
        Self { session, namespace, managed: OnceCell::new() }
    }

    /// Turns the name of a target into the target.
    pub(super) async fn target(&self, named: &TargetRef) -> Result<Target, Error> {
        let name = named.to_string();
        match self.session.resolve(named).await {
            Err(error) if self.is_open(&error) => self.find(error, |shown| shown == name).await,
            resolved => Ok(resolved?),
        }
    }

    /// The name of a kind, up to the name of a target: `deployment.apps/`.
    pub(super) async fn kind(&self, kind: KindRef) -> Result<String, Error> {
        let any = TargetRef { kind, name: String::new() };
        let start = any.to_string();
        match self.session.resolve(&any).await {
            Err(error) if self.is_open(&error) => {
                self.find(error, |shown| shown.starts_with(&start)).await?;
                Ok(start)
            }
            resolved => Ok(target::name(&resolved?)),
        }
    }

    /// Whether the managed targets may have the name. A caller who connects to the server's address may not reach the API
    /// server, and then they alone decide.
    fn is_open(&self, error: &kubernetes::Error) -> bool {
        batch::is_of_kind(error) || self.session.has_address()
    }

    /// Finds a managed target by the name that `list` shows.
    async fn find(&self, error: kubernetes::Error, is_it: impl Fn(&str) -> bool) -> Result<Target, Error> {
        let request =
            ListReplicaCountsRequest { namespace: self.namespace.clone(), ..ListReplicaCountsRequest::default() };
        let list = async || {
            let counts = read::list(self.session, request).await?;
            Ok::<Vec<Target>, CallError>(counts.into_iter().filter_map(|count| count.target).collect())
        };
        let managed = match self.managed.get_or_try_init(list).await {
            Ok(managed) => managed,
            Err(CallError::Refused(_)) => return Err(error.into()),
            Err(lost) => return Err(lost.into()),
        };
        let found = managed.iter().find(|target| is_it(&target::name(target)));
        found.cloned().ok_or_else(|| error.into())
    }
}

/// Reads the replica count of a single target that the user names.
pub(super) async fn read_named(session: &Session, named: &TargetRef) -> Result<ReplicaCount, Error> {
    let target = Resolver::new(session, session.namespace.clone()).target(named).await?;
    Ok(read::of_target(session, &target).await?)
}

/// Reads something of each target that the user names, several at once. The error of a single one becomes the error of
/// the command, and so does that of the connection.
pub(super) async fn each<T>(
    session: &Session,
    targets: &[TargetRef],
    read: impl AsyncFn(Target) -> Result<T, Error>,
) -> Result<(Vec<T>, Failures), Error> {
    let (resolver, read) = (&Resolver::new(session, session.namespace.clone()), &read);
    if let [target] = targets {
        let target = resolver.target(target).await?;
        return Ok((vec![read(target).await?], Failures::default()));
    }
    let results = stream::iter(targets).map(|target| async move { read(resolver.target(target).await?).await });
    let mut results = pin!(results.buffered(AT_ONCE).zip(stream::iter(targets)));
    let (mut found, mut failures) = (Vec::new(), Failures::default());
    while let Some((result, target)) = results.next().await {
        match result {
            Err(error) if batch::is_of_connection(&error) => return Err(error),
            Err(error) => failures.add(&target.to_string(), error),
            Ok(one) => found.push(one),
        }
    }
    Ok((found, failures))
}

/// Whether a word is a kind of the cluster.
pub(super) async fn is_kind(session: &Session, kind: &KindRef) -> Result<bool, Error> {
    let resolver = Resolver::new(session, session.namespace.clone());
    match resolver.kind(kind.clone()).await {
        Ok(_) => Ok(true),
        Err(Error::Kubernetes(error)) if resolver.is_open(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Refuses words that kubectl reads as a kind and names, before the names change Deployments.
///
/// The API server is asked only if there is no Deployment with the name of the first word. If it cannot be asked, a first
/// word that names no Deployment is refused, too.
pub(super) async fn check_first_word(session: &Session, words: &[String]) -> Result<(), Error> {
    let Some((kind, deployment)) = words::perhaps_kind(words) else { return Ok(()) };
    let deployment = session.resolve(&deployment).await?;
    let refused = match read::of_target(session, &deployment).await {
        Ok(_) => return Ok(()),
        Err(refused @ CallError::Refused(_)) => refused,
        Err(error) => return Err(error.into()),
    };
    let is_ambiguous = match session.resolve(&TargetRef { kind, name: String::new() }).await {
        Ok(_) => true,
        Err(kubernetes::Error::NoResource { .. }) => false,
        Err(_) => refusal::is_for(&refused, reasons::TARGET_NOT_FOUND),
    };
    match words {
        [kind, name, ..] if is_ambiguous => {
            Err(words::Error::Ambiguous { kind: kind.clone(), name: name.clone() }.into())
        }
        _ => Ok(()),
    }
}
