//! Finds out how the API server serves a kind, and which fields of its objects hold the counts.
//!
//! All look-ups share one answer of aggregated discovery, which the API server sends again only if it has changed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Limited};
use hyper::{
    Request, StatusCode,
    header::{ACCEPT, ETAG, HeaderValue, IF_NONE_MATCH},
};
use kube::{
    Api, Client,
    api::ListParams,
    client::Body,
    core::{DynamicObject, Status, discovery::v2::ACCEPT_AGGREGATED_DISCOVERY_V2},
};
use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore},
    time::{Instant, sleep, timeout},
};
use tracing::debug;

use super::{
    definition::{Definition, DefinitionVersion, default_paths, other_replicas, paths_in},
    served::{Absence, ServedKinds, ServedVersion},
};
use crate::resources::{
    GroupKind, Lenient, TargetKind,
    api_errors::{REFUSAL_PAUSE, RepeatedRefusal},
    reasons,
};

/// How long the whole look-up of a kind can take. It consists of a few small requests, each of which can take
/// `REQUEST`, and of one `REFUSAL_PAUSE`.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How long one request of a look-up can take. A conversion webhook can hang for longer. Then its version counts as one
/// that cannot be listed.
const REQUEST: Duration = Duration::from_secs(5);

/// How long an answer is used again, so that look-ups at the same time share one.
pub(super) const FRESH: Duration = Duration::from_secs(1);

/// How many kinds are looked up at once, so that many kinds do not become many requests at once.
const LOOKUPS: usize = 4;

/// The largest discovery document, in bytes. A thousand CRDs take about 1 MiB.
const MAX_DOCUMENT: usize = 32 * 1024 * 1024;

/// How long it is remembered that the account may not read CRDs, so that not each look-up has to pause.
const REFUSED: Duration = Duration::from_secs(5 * 60);

/// Why a kind cannot be managed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server serves no such kind.
    #[error("the API server serves no kind {} in the group {}", .0.kind, .0.group)]
    NotServed(GroupKind),
    /// Objects of the kind have no scale subresource or no namespace.
    #[error("{0} cannot be scaled: it has no scale subresource, or no namespace")]
    NotScalable(GroupKind),
    /// The path to the count is too deep: the JSON reader refuses such objects.
    #[error("{0} cannot be scaled: its definition puts the count too deep into its objects")]
    TooDeep(GroupKind),
    /// The group has an API server of its own, which does not answer.
    #[error(
        "failed to look up the kind {0}: the API server of its group does not answer (see kubectl get apiservices)"
    )]
    Unreachable(GroupKind),
    /// The API server did not answer in time.
    #[error("failed to look up the kind {0}: no answer within {TIMEOUT:?}")]
    NoAnswer(GroupKind),
    /// The API server answered with an error.
    #[error("failed to look up the kind {kind}")]
    Unknown { kind: GroupKind, source: Arc<kube::Error> },
}

impl Error {
    /// The reason of the condition that reports this error.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::NotServed(_) => reasons::KIND_NOT_SERVED,
            Self::NotScalable(_) | Self::TooDeep(_) => reasons::KIND_NOT_SCALABLE,
            Self::Unreachable(_) | Self::NoAnswer(_) | Self::Unknown { .. } => reasons::KIND_UNKNOWN,
        }
    }

    /// Whether the API server has said that the kind cannot be watched, rather than failed to say.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::NotServed(_) | Self::NotScalable(_) | Self::TooDeep(_))
    }

    pub(super) fn of(kind: &GroupKind, absence: Absence) -> Self {
        match absence {
            Absence::NotServed => Self::NotServed(kind.clone()),
            Absence::NotScalable => Self::NotScalable(kind.clone()),
            Absence::Unreachable => Self::Unreachable(kind.clone()),
        }
    }
}

/// Looks kinds up.
pub(crate) struct Discovery {
    client: Client,
    /// The namespace that the server manages, unless it manages all.
    namespace: Option<String>,
    /// Locked during a request, so that all who wait get its answer.
    latest: AsyncMutex<Latest>,
    lookups: Semaphore,
    /// When it was last certain that the account may not read CRDs.
    refused: Mutex<Option<Instant>>,
}

/// The latest answer of aggregated discovery.
#[derive(Default)]
struct Latest {
    served: Arc<ServedKinds>,
    /// The version of the document, if it has been read once.
    etag: Option<HeaderValue>,
    /// When the latest request ended, and its error.
    asked: Option<(Instant, Result<(), Arc<kube::Error>>)>,
}

impl Discovery {
    /// Looks up what this client's account may see, in one namespace or in all.
    pub(crate) fn new(client: Client, namespace: Option<String>) -> Self {
        let (latest, lookups) = (AsyncMutex::default(), Semaphore::new(LOOKUPS));
        Self { client, namespace, latest, lookups, refused: Mutex::default() }
    }

    /// Finds a kind. Its version is the first, in the group's order, that can be scaled and listed. If none can be
    /// listed, it is the preferred one. `watched` is the kind whose watch works now: its version is known to be
    /// listable.
    ///
    /// # Errors
    ///
    /// When there is no such kind, it cannot be scaled, or the API server does not answer.
    pub(crate) async fn find(&self, kind: &GroupKind, watched: Option<&TargetKind>) -> Result<TargetKind, Error> {
        if let Some(known) = TargetKind::built_in().iter().find(|known| known.group_kind == *kind) {
            return Ok(known.clone());
        }
        timeout(TIMEOUT, self.look_up(kind, watched)).await.unwrap_or_else(|_| Err(Error::NoAnswer(kind.clone())))
    }

    /// The kinds that the API server serves, as of an answer that is not older than this.
    pub(super) async fn served(&self, max_age: Duration) -> Result<Arc<ServedKinds>, Arc<kube::Error>> {
        let mut latest = self.latest.lock().await;
        let is_recent = latest.asked.as_ref().is_some_and(|(at, _)| at.elapsed() < max_age);
        if !is_recent {
            let answer = timeout(TIMEOUT, self.ask(latest.etag.clone())).await;
            let answer = answer.unwrap_or_else(|elapsed| Err(kube::Error::Service(elapsed.into())));
            let result = answer.map_err(Arc::new).map(|changed| {
                if let Some((served, etag)) = changed {
                    (latest.served, latest.etag) = (Arc::new(served), etag);
                }
            });
            latest.asked = Some((Instant::now(), result));
        }
        match &latest.asked {
            Some((_, Err(error))) => Err(error.clone()),
            _ => Ok(latest.served.clone()),
        }
    }

    /// Reads the document, unless it is still that of the ETag.
    async fn ask(&self, known: Option<HeaderValue>) -> Result<Option<(ServedKinds, Option<HeaderValue>)>, kube::Error> {
        let mut request = Request::get("/apis").header(ACCEPT, ACCEPT_AGGREGATED_DISCOVERY_V2);
        if let Some(known) = known {
            request = request.header(IF_NONE_MATCH, known);
        }
        let answer = self.client.send(request.body(Body::empty()).map_err(kube::Error::HttpError)?).await?;
        let (status, etag) = (answer.status(), answer.headers().get(ETAG).cloned());
        if status == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let failure = |message: &str| {
            let status = Status::failure(message, "DiscoveryFailed").with_code(status.as_u16());
            kube::Error::Api(status.boxed())
        };
        if !status.is_success() {
            return Err(failure(&format!("discovery was answered with {status}")));
        }
        let body = Limited::new(answer.into_body(), MAX_DOCUMENT).collect().await.map_err(kube::Error::Service)?;
        let served = ServedKinds::read(&body.to_bytes()).map_err(kube::Error::SerdeError)?;
        let served = served.ok_or_else(|| failure("the API server does not offer aggregated discovery"))?;
        Ok(Some((served, etag)))
    }

    async fn look_up(&self, kind: &GroupKind, watched: Option<&TargetKind>) -> Result<TargetKind, Error> {
        let unknown = |source| Error::Unknown { kind: kind.clone(), source };
        let _permit = self.lookups.acquire().await.map_err(|_| Error::NoAnswer(kind.clone()))?;
        let served = self.served(FRESH).await.map_err(unknown)?;
        let versions = served.find(kind).map_err(|absence| Error::of(kind, absence))?;
        let version = self.choose(kind, versions, watched).await;
        let defined = self.read_versions(version, kind).await.map_err(|error| unknown(Arc::new(error)))?;
        let (replicas, ready, other_replicas) = match (defined, watched) {
            (Some(defined), _) => {
                let own = defined.iter().find(|one| one.name == version.version);
                let (replicas, ready) = own.map_or_else(default_paths, paths_in);
                (replicas, ready, other_replicas(&defined, &version.version))
            }
            // A definition that was readable before is not forgotten.
            (None, Some(watched)) => (watched.replicas.clone(), watched.ready.clone(), watched.other_replicas.clone()),
            (None, None) => {
                let (replicas, ready) = default_paths();
                (replicas, ready, BTreeMap::new())
            }
        };
        if replicas.is_too_deep() {
            return Err(Error::TooDeep(kind.clone()));
        }
        let ServedVersion { version, plural } = version.clone();
        Ok(TargetKind { group_kind: kind.clone(), version, plural, replicas, other_replicas, ready })
    }

    /// Chooses the first version that can be listed. The preferred version may be unusable because its conversion
    /// webhook does not answer, while others still work.
    async fn choose<'a>(
        &self,
        kind: &GroupKind,
        (preferred, others): (&'a ServedVersion, &'a [ServedVersion]),
        watched: Option<&TargetKind>,
    ) -> &'a ServedVersion {
        if others.is_empty() {
            return preferred;
        }
        for version in std::iter::once(preferred).chain(others) {
            let is_watched = watched.is_some_and(|watched| watched.version == version.version);
            if is_watched || self.lists(kind, version).await {
                return version;
            }
        }
        preferred
    }

    async fn lists(&self, kind: &GroupKind, version: &ServedVersion) -> bool {
        let ServedVersion { version, plural } = version.clone();
        let (replicas, ready) = default_paths();
        let other_replicas = BTreeMap::new();
        let kind = TargetKind { group_kind: kind.clone(), version, plural, replicas, other_replicas, ready };
        let resource = kind.resource();
        let objects: Api<Lenient<DynamicObject>> = match &self.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        matches!(timeout(REQUEST, objects.list(&ListParams::default().limit(1))).await, Ok(Ok(_)))
    }

    /// The versions of a kind in its CRD, which are none if no CRD defines it. `None` if the server's account may not read
    /// the CRD.
    async fn read_versions(
        &self,
        version: &ServedVersion,
        kind: &GroupKind,
    ) -> Result<Option<Vec<DefinitionVersion>>, kube::Error> {
        let definitions: Api<Definition> = Api::all(self.client.clone());
        let name = format!("{}.{}", version.plural, kind.group);
        let mut refusal = RepeatedRefusal::default();
        loop {
            match timeout(REQUEST, definitions.get_opt(&name))
                .await
                .map_err(|late| kube::Error::Service(late.into()))?
            {
                Ok(definition) => {
                    return Ok(Some(definition.map(|definition| definition.spec.versions).unwrap_or_default()));
                }
                Err(kube::Error::Api(status)) if status.is_forbidden() => {
                    let was_refused = self.refused.lock().is_some_and(|at| at.elapsed() < REFUSED);
                    if was_refused || refusal.is_repeated(Instant::now()) {
                        debug!(%kind, "the definition may not be read");
                        *self.refused.lock() = Some(Instant::now());
                        return Ok(None);
                    }
                    sleep(REFUSAL_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
