//! What enforcement works with.

use std::sync::Arc;

use kube::Client;

use crate::{
    reviews::{AdmissionMode, Reviews, UserNames},
    telemetry::Metrics,
};

/// Which manager owns a corrected count, as server-side apply tracks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "camelCase")]
pub enum OwnershipMode {
    /// The managers that apply the count get it back, so their next apply of another count meets no conflict
    GiveBack,
    /// This server keeps it, so such an apply meets a conflict
    Keep,
}

/// What enforcement works with.
#[derive(Clone)]
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Which manager owns a corrected count.
    pub ownership: OwnershipMode,
    /// The largest count that is enforced, in replicas.
    pub max_replicas: i32,
    /// Where drifts and corrections are counted.
    pub metrics: Arc<Metrics>,
    /// What the server does at admission.
    pub admission_mode: AdmissionMode,
    /// Whether reviews record users.
    pub admission_users: UserNames,
    /// Who made which write.
    pub reviews: Arc<Reviews>,
}
