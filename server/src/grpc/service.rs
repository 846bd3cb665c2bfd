//! `replicas.v1.ReplicasService`.

use std::{collections::BTreeSet, pin::Pin, sync::Arc, time::Duration};

use futures::Stream;
use jiff::Timestamp;
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tracing::info;

use super::{
    authz::{Action, Authorizer},
    conflicts, convert,
    error::Error,
    request::{self, Filter, RequestValidator},
    watch,
    write::ReplicaCountWriter,
};
use crate::{
    index::discovery,
    index::{Index, TargetSnapshot},
    resources::{GroupKind, TargetKey, TargetKind, Uid},
    runtime::limiter::Limiter,
    tls::Identity,
};
use contract::replicas::v1::{self, replicas_service_server::ReplicasService};

/// How long a read waits for the resource version that it asks for.
const CATCH_UP: Duration = Duration::from_secs(5);

/// The most bytes of a page: the usual limit of a gRPC message is 4 MiB.
const MAX_PAGE_BYTES: usize = 3 * 1024 * 1024;

/// The longest time that a write may take altogether: a caller that hears nothing longer tries again.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// The service. Cloned for `proto.DeploymentsService`, which is a translation of it.
#[derive(Clone)]
pub(super) struct Replicas {
    pub(super) index: Arc<Index>,
    pub(super) rules: Arc<RequestValidator>,
    pub(super) writes: ReplicaCountWriter,
    pub(super) authorizer: Authorizer,
    pub(super) watches: Arc<Limiter>,
    pub(super) stop: CancellationToken,
}

impl Replicas {
    pub(super) async fn list(
        &self,
        who: &Arc<Identity>,
        request: v1::ListReplicaCountsRequest,
    ) -> Result<v1::ListReplicaCountsResponse, Error> {
        let mut filter = self.rules.filter(request.namespace, &request.label_selector, request.all_targets)?;
        let size = request::page_size(request.page_size)?;
        let after = request::page_token(&request.page_token)?;
        self.authorizer.check(who, Action::on_counts("list", filter.namespace(), "")).await?;
        filter.kinds = self.listable(who, &filter).await?;
        self.ready_to_read(&request.min_resource_version).await?;
        let resource_version = self.index.version().to_string();
        let namespace = Some(filter.namespace()).filter(|namespace| !namespace.is_empty());
        let page = self.index.list(filter.all_targets, namespace, after.as_ref(), size, |seen| filter.selects(seen));
        let (now, mut next, mut bytes) = (Timestamp::now(), page.next, 0);
        let mut replica_counts = Vec::with_capacity(page.entries.len());
        for (index, seen) in page.entries.iter().enumerate() {
            let shown = convert::replica_count(seen, now);
            bytes += shown.encoded_len();
            if bytes > MAX_PAGE_BYTES && index > 0 {
                next = Some(page.entries[index - 1].key.clone());
                break;
            }
            replica_counts.push(shown);
        }
        let next_page_token = next.as_ref().map(request::to_page_token).unwrap_or_default();
        Ok(v1::ListReplicaCountsResponse { replica_counts, next_page_token, resource_version })
    }

    pub(super) async fn get(
        &self,
        who: &Arc<Identity>,
        request: v1::GetReplicaCountRequest,
    ) -> Result<v1::GetReplicaCountResponse, Error> {
        let key = self.rules.target(request.target)?;
        self.authorizer.check(who, Action::on_counts("get", &key.namespace, &key.replica_count_name())).await?;
        self.ready_to_read(&request.min_resource_version).await?;
        let seen = self.index.get(&key);
        match (&seen.count, &seen.target) {
            (None, None) => Err(Error::TargetNotFound(key)),
            (None, Some(_)) => Err(Error::NotManaged(key)),
            (Some(_), _) => {
                let replica_count = Some(convert::replica_count(&seen, Timestamp::now()));
                Ok(v1::GetReplicaCountResponse { replica_count })
            }
        }
    }

    pub(super) async fn set(
        &self,
        who: &Arc<Identity>,
        request: v1::SetReplicaCountRequest,
    ) -> Result<v1::SetReplicaCountResponse, Error> {
        let set = self.rules.set(request, Timestamp::now())?;
        self.ready_to_read("").await?;
        let write = async {
            let seen = self.index.get(&set.key);
            // Before anything is looked up: whoever may not set does not learn what there is.
            self.writes.check(who, &set.key, seen.count.is_some()).await?;
            let kind = self.kind(&set.key).await?;
            self.writes.set(seen, &kind, &set, who).await
        };
        let stored = within(WRITE_TIMEOUT, write).await;
        let (from, to) = stored
            .as_ref()
            .map_or((None, None), |stored| (stored.old_desired, stored.count.spec.desired(Timestamp::now())));
        info!(user = who.user, target = %set.key, from, to, wanted = ?set.wanted, reason = set.reason,
            dry_run = set.dry_run, outcome = outcome(&stored), "audit: set");
        let stored = stored?;
        let seen = self.index.get(&set.key);
        let seen = TargetSnapshot { count: Some(Arc::new(stored.count)), target: stored.target, ..seen };
        Ok(v1::SetReplicaCountResponse {
            replica_count: Some(convert::replica_count(&seen, Timestamp::now())),
            old_desired: stored.old_desired,
            override_cleared: stored.override_cleared,
        })
    }

    pub(super) async fn unset(
        &self,
        who: &Arc<Identity>,
        request: v1::UnsetReplicaCountRequest,
    ) -> Result<v1::UnsetReplicaCountResponse, Error> {
        let key = self.rules.target(request.target.clone())?;
        self.ready_to_read("").await?;
        let unset = within(WRITE_TIMEOUT, self.unset_target(who, &key, &request)).await;
        let (from, to) = unset.as_ref().map_or((None, None), |(seen, restored)| {
            (seen.count.as_ref().and_then(|count| count.spec.desired(Timestamp::now())), *restored)
        });
        info!(user = who.user, target = %key, from, to, dry_run = request.dry_run, outcome = outcome(&unset),
            "audit: unset");
        let (seen, restored) = unset?;
        Ok(v1::UnsetReplicaCountResponse {
            replica_count: Some(convert::replica_count(&seen, Timestamp::now())),
            restored,
            resource_version: self.index.version().to_string(),
        })
    }

    /// Returns what was there, and the count that was put back.
    async fn unset_target(
        &self,
        who: &Arc<Identity>,
        key: &TargetKey,
        request: &v1::UnsetReplicaCountRequest,
    ) -> Result<(TargetSnapshot, Option<i32>), Error> {
        let name = key.replica_count_name();
        self.authorizer.check(who, Action::on_counts("delete", &key.namespace, &name)).await?;
        if request.restore {
            self.authorizer.check(who, Action::on_counts("update", &key.namespace, &name)).await?;
        }
        let seen = self.index.get(key);
        let count = match &seen.count {
            Some(count) => Some(count.clone()),
            None => self.writes.count(key).await?.map(Arc::new),
        };
        let count = count.ok_or_else(|| Error::NotManaged(key.clone()))?;
        if !request.force {
            conflicts::check_managed_by(key, &count)?;
        }
        let restored = match (request.restore, count.spec.original_replicas) {
            (false, _) => None,
            (true, Some(original)) => Some(original),
            (true, None) => {
                let message = format!("the count of {key} from before it was managed is not known");
                return Err(Error::Precondition { reason: "NO_ORIGINAL_COUNT", message });
            }
        };
        if !request.dry_run {
            let restore = match restored {
                Some(original) => Some((self.kind(key).await?, original)),
                None => None,
            };
            self.writes.unset(&count, key, restore).await?;
            self.forgets(key, &count.uid).await;
        }
        Ok((TargetSnapshot { count: Some(count), ..seen }, restored))
    }

    /// The kinds whose unmanaged targets a caller may list, where they are asked for. Others are left out; whoever may
    /// list none is refused.
    async fn listable(&self, who: &Arc<Identity>, filter: &Filter) -> Result<BTreeSet<GroupKind>, Error> {
        let mut listable = BTreeSet::new();
        if !filter.all_targets {
            return Ok(listable);
        }
        let mut refusal = Ok(());
        for kind in self.index.kinds() {
            match self.authorizer.check(who, Action::list_targets(&kind, filter.namespace())).await {
                Ok(()) => drop(listable.insert(kind.group_kind.clone())),
                Err(denied @ Error::Denied(_)) => refusal = refusal.and(Err(denied)),
                Err(error) => return Err(error),
            }
        }
        if listable.is_empty() { refusal.map(|()| listable) } else { Ok(listable) }
    }

    /// Refuses a watch whose caller may no longer have it, or may list other kinds than when it began.
    pub(super) async fn recheck(&self, who: &Arc<Identity>, filter: &Filter) -> Result<(), Error> {
        match self.authorizer.check(who, Action::on_counts("watch", filter.namespace(), "")).await {
            Err(denied @ Error::Denied(_)) => return Err(denied),
            // Rights cannot change while the API server is out of reach.
            Err(_) => return Ok(()),
            Ok(()) => {}
        }
        match self.listable(who, filter).await {
            Ok(listable) if !filter.kinds.is_subset(&listable) => Err(Error::RightsChanged),
            Err(denied @ Error::Denied(_)) => Err(denied),
            _ => Ok(()),
        }
    }

    /// The kind of a target, also of one that is not watched yet.
    async fn kind(&self, key: &TargetKey) -> Result<Arc<TargetKind>, Error> {
        match self.index.kind(&key.kind) {
            Some(kind) => Ok(kind),
            None => Ok(Arc::new(discovery::find(self.writes.client(), &key.kind).await?)),
        }
    }

    /// Waits until reads know of a deletion, which unlike other writes answers with no resource version to wait for.
    async fn forgets(&self, key: &TargetKey, uid: &Uid) {
        let mut events = self.index.changes();
        let forgotten = || self.index.get(key).count.is_none_or(|count| count.uid != *uid);
        let wait = async { while !forgotten() && events.recv().await.is_ok() {} };
        // The deletion is stored either way; a cache that lags only makes the answer's version an older one.
        let _ = tokio::time::timeout(CATCH_UP, wait).await;
    }

    async fn ready_to_read(&self, min_resource_version: &str) -> Result<(), Error> {
        let version = request::min_resource_version(min_resource_version)?;
        if !self.index.is_synced() {
            return Err(Error::NotSynced);
        }
        match version {
            Some(version) if !self.index.reaches(version, CATCH_UP).await => Err(Error::Behind(version)),
            _ => Ok(()),
        }
    }

    fn info(&self, who: &Identity) -> v1::GetServerInfoResponse {
        v1::GetServerInfoResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            namespace: self.rules.namespace.clone().unwrap_or_default(),
            max_replicas: self.rules.max_replicas,
            kinds: self
                .index
                .kinds()
                .into_iter()
                .map(|kind| v1::TargetKind {
                    group: kind.group_kind.group.to_string(),
                    kind: kind.group_kind.kind.to_string(),
                })
                .collect(),
            user: who.user.clone(),
            groups: who.groups.clone(),
        }
    }
}

/// How a write ended, for the audit line.
fn outcome<T>(result: &Result<T, Error>) -> &'static str {
    result.as_ref().map_or_else(Error::reason, |_| "DONE")
}

/// The caller, whose certificate the accept loop has verified.
pub(super) fn caller<T>(request: &Request<T>) -> Result<Arc<Identity>, Status> {
    request.extensions().get().cloned().ok_or_else(|| Status::internal("the connection has no identity"))
}

async fn within<T>(limit: Duration, write: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let timed_out = |_| Error::Unreachable(format!("no answer within {limit:?}"));
    tokio::time::timeout(limit, write).await.map_err(timed_out)?
}

#[tonic::async_trait]
impl ReplicasService for Replicas {
    async fn list_replica_counts(
        &self,
        request: Request<v1::ListReplicaCountsRequest>,
    ) -> Result<Response<v1::ListReplicaCountsResponse>, Status> {
        let who = caller(&request)?;
        Ok(Response::new(self.list(&who, request.into_inner()).await?))
    }

    async fn get_replica_count(
        &self,
        request: Request<v1::GetReplicaCountRequest>,
    ) -> Result<Response<v1::GetReplicaCountResponse>, Status> {
        let who = caller(&request)?;
        Ok(Response::new(self.get(&who, request.into_inner()).await?))
    }

    async fn set_replica_count(
        &self,
        request: Request<v1::SetReplicaCountRequest>,
    ) -> Result<Response<v1::SetReplicaCountResponse>, Status> {
        let who = caller(&request)?;
        Ok(Response::new(self.set(&who, request.into_inner()).await?))
    }

    async fn unset_replica_count(
        &self,
        request: Request<v1::UnsetReplicaCountRequest>,
    ) -> Result<Response<v1::UnsetReplicaCountResponse>, Status> {
        let who = caller(&request)?;
        Ok(Response::new(self.unset(&who, request.into_inner()).await?))
    }

    type WatchReplicaCountsStream = Pin<Box<dyn Stream<Item = Result<v1::WatchReplicaCountsResponse, Status>> + Send>>;

    async fn watch_replica_counts(
        &self,
        request: Request<v1::WatchReplicaCountsRequest>,
    ) -> Result<Response<Self::WatchReplicaCountsStream>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let mut filter = self.rules.filter(request.namespace, &request.label_selector, request.all_targets)?;
        self.authorizer.check(&who, Action::on_counts("watch", filter.namespace(), "")).await?;
        filter.kinds = self.listable(&who, &filter).await?;
        self.ready_to_read(&request.min_resource_version).await?;
        let share = self.watches.take(&who.user).map_err(Error::TooManyWatches)?;
        Ok(Response::new(Box::pin(watch::watch(self.clone(), who, filter, share))))
    }

    async fn get_server_info(
        &self,
        request: Request<v1::GetServerInfoRequest>,
    ) -> Result<Response<v1::GetServerInfoResponse>, Status> {
        Ok(Response::new(self.info(&*caller(&request)?)))
    }
}
