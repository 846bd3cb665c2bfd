//! What the checks have found so far, for those after them.

use std::time::Duration;

use contract::replicas::v1::{GetServerInfoResponse, ReplicaCount};

use super::finding::Finding;
use crate::{
    args::ConnectionArgs,
    config::Settings,
    kubernetes::{Cluster, PodState, Server, Webhook},
    session::Session,
};

/// What the checks have found so far. A missing part means that its check failed or was skipped.
pub(super) struct Facts<'a> {
    pub(super) args: &'a ConnectionArgs,
    /// The session takes it.
    pub(super) cluster: Option<Cluster>,
    /// Whether the API server answers.
    pub(super) is_api_reachable: bool,
    pub(super) settings: Option<Settings>,
    pub(super) server: Option<Server>,
    pub(super) pods: Option<Vec<PodState>>,
    /// Whether a pod of the server is ready.
    pub(super) is_pod_ready: bool,
    /// The client certificate in PEM, once it was checked.
    pub(super) certificate: Option<Vec<u8>>,
    pub(super) session: Option<Session>,
    pub(super) info: Option<GetServerInfoResponse>,
    /// The managed targets, and the words for where they are.
    pub(super) counts: Option<(Vec<ReplicaCount>, String)>,
    /// The server's webhooks.
    pub(super) webhooks: Option<Vec<Webhook>>,
}

impl<'a> Facts<'a> {
    pub(super) const fn new(args: &'a ConnectionArgs) -> Self {
        Self {
            args,
            cluster: None,
            is_api_reachable: false,
            settings: None,
            server: None,
            pods: None,
            is_pod_ready: false,
            certificate: None,
            session: None,
            info: None,
            counts: None,
            webhooks: None,
        }
    }

    /// The time limit of each request.
    pub(super) const fn limit(&self) -> Duration {
        self.args.request_timeout
    }

    /// The cluster that the kubeconfig names.
    pub(super) fn cluster(&self) -> Result<&Cluster, Finding> {
        let cluster = self.cluster.as_ref().filter(|cluster| cluster.absence().is_none());
        cluster.ok_or_else(|| Finding::skipped("there is no kubeconfig to check it with"))
    }

    /// The cluster, if its API server answers.
    pub(super) fn api(&self) -> Result<&Cluster, Finding> {
        let cluster = self.cluster()?;
        self.is_api_reachable.then_some(cluster).ok_or_else(|| Finding::skipped("the API server does not answer"))
    }

    pub(super) fn settings(&self) -> Result<&Settings, Finding> {
        self.settings.as_ref().ok_or_else(|| Finding::skipped("the configuration cannot be read"))
    }

    pub(super) fn server(&self) -> Result<&Server, Finding> {
        let why = match self.settings.as_ref().is_some_and(|settings| settings.address.is_some()) {
            true => "the server's address is given",
            false => "the server's Service was not found",
        };
        self.server.as_ref().ok_or_else(|| Finding::skipped(why))
    }

    pub(super) fn session(&self) -> Result<&Session, Finding> {
        self.session.as_ref().ok_or_else(|| Finding::skipped("there is no connection to the server"))
    }

    pub(super) fn info(&self) -> Result<&GetServerInfoResponse, Finding> {
        self.info.as_ref().ok_or_else(|| Finding::skipped("the server does not answer"))
    }

    /// The mode of admission, which is not off.
    pub(super) fn admission_mode(&self) -> Result<&str, Finding> {
        // An older server has none.
        let mode = Some(self.info()?.admission_mode.as_str()).filter(|mode| !["", "off"].contains(mode));
        mode.ok_or_else(|| Finding::skipped("admission.mode is off"))
    }

    pub(super) fn counts(&self) -> Result<&(Vec<ReplicaCount>, String), Finding> {
        self.counts.as_ref().ok_or_else(|| Finding::skipped("the managed targets cannot be listed"))
    }
}
