//! What the RPCs share: the index, the API server, and the questions that several of them ask.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kube::{Api, Client, core::DynamicObject};
use tokio_util::sync::CancellationToken;

use super::{
    action::Action,
    authorizer::{Authorizer, MaxAge},
    error::Error,
    filter::Filter,
    lists::Lists,
    validate::{self, RequestValidator},
    writer::ReplicaCountWriter,
};
use crate::{
    index::{Index, discovery::Discovery},
    resources::{GroupKind, Lenient, TargetKey, TargetKind, TargetState},
    reviews::AdmissionMode,
    runtime::limiter::Limiter,
    tls::Identity,
};

/// The longest wait for the index to reach what a call needs: a watch usually delivers within milliseconds.
pub(super) const CATCH_UP: Duration = Duration::from_secs(5);

/// What the RPCs work with.
#[derive(Clone)]
pub(super) struct Backend {
    pub(super) index: Arc<Index>,
    pub(super) client: Client,
    pub(super) discovery: Arc<Discovery>,
    pub(super) validator: Arc<RequestValidator>,
    pub(super) authorizer: Authorizer,
    pub(super) writer: ReplicaCountWriter,
    /// Bounds the open watches.
    pub(super) watches: Arc<Limiter>,
    /// Bounds the lists under way.
    pub(super) lists: Lists,
    /// Ends the open watches when the server stops.
    pub(super) stop: CancellationToken,
    /// What the server does at admission.
    pub(super) admission_mode: AdmissionMode,
}

impl Backend {
    /// Fails if the index is not synced. Then waits until it has this resource version. An empty one waits for nothing.
    pub(super) async fn ready_to_read(&self, min_resource_version: &str) -> Result<(), Error> {
        let version = validate::min_resource_version(min_resource_version)?;
        if !self.index.is_synced() {
            return Err(Error::NotSynced);
        }
        match version {
            Some(version) if !self.index.reaches(version, CATCH_UP).await => Err(Error::Behind(version)),
            _ => Ok(()),
        }
    }

    /// The kinds whose unmanaged targets the caller may list. The others are left out, unless the caller may list none:
    /// then it is refused.
    pub(super) async fn listable_kinds(
        &self,
        max_age: MaxAge,
        caller: &Arc<Identity>,
        filter: &Filter,
    ) -> Result<BTreeSet<GroupKind>, Error> {
        let mut listable = BTreeSet::new();
        if !filter.all_targets {
            return Ok(listable);
        }
        let mut refusal = Ok(());
        for kind in self.index.kinds() {
            let list = Action::list_targets(&kind, filter.namespace());
            match self.authorizer.check_within(max_age, caller, list).await {
                Ok(()) => drop(listable.insert(kind.group_kind.clone())),
                Err(denied @ Error::Denied(_)) => refusal = refusal.and(Err(denied)),
                Err(error) => return Err(error),
            }
        }
        if listable.is_empty() { refusal.map(|()| listable) } else { Ok(listable) }
    }

    /// Whether the caller may list the targets of a key's kind in its namespace. The answer is no if the index does not
    /// know the kind.
    pub(super) async fn may_list_targets(&self, caller: &Arc<Identity>, key: &TargetKey) -> Result<bool, Error> {
        let Some(kind) = self.index.kind(&key.kind) else { return Ok(false) };
        match self.authorizer.check(caller, Action::list_targets(&kind, &key.namespace)).await {
            Ok(()) => Ok(true),
            Err(Error::Denied(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The kind of a target. Asks the API server about a kind that is not watched yet.
    pub(super) async fn kind(&self, key: &TargetKey) -> Result<Arc<TargetKind>, Error> {
        match self.index.kind(&key.kind) {
            Some(kind) => Ok(kind),
            None => Ok(Arc::new(self.discovery.find(&key.kind, None).await?)),
        }
    }

    /// Reads a target that the index does not know, from the API server.
    pub(super) async fn read_target(&self, key: &TargetKey, kind: &TargetKind) -> Result<Option<TargetState>, Error> {
        let targets: Api<Lenient<DynamicObject>> =
            Api::namespaced_with(self.client.clone(), &key.namespace, &kind.resource());
        let target = targets.get_opt(&key.name).await?.map(Lenient::read).transpose()?;
        Ok(target.map(|target| TargetState::of(&target, kind)))
    }
}
