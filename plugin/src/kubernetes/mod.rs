//! The API server: the kubeconfig, the client, and what the plugin reads from the cluster.

mod admission;
mod api_server;
mod api_user;
mod autoscalers;
mod client;
mod cluster;
mod cluster_uid;
mod discovery;
mod error;
mod events;
mod exec_credential;
mod identity;
mod installation;
mod kubeconfig;
mod namespaces;
mod pod;
mod proxy;
pub(crate) mod request;
mod rights;
mod server_certificate;
mod server_url;
pub(crate) mod service;
mod system_roots;
mod target_object;
mod traced;
mod unready;

pub(crate) use self::{
    admission::{DryRun, Webhook, endpoints, scale_dry_run, webhooks},
    api_user::{ApiUser, caller, own},
    autoscalers::autoscalers,
    cluster::Cluster,
    cluster_uid::uid,
    discovery::{resolve, version},
    error::Error,
    events::{TargetEvent, ends_of_management},
    installation::{Holder, PodState, api_version, fence, is_replica_count_served, leader, server_pods},
    kubeconfig::Contexts,
    namespaces::namespaces,
    rights::{may_scale, may_with_replica_count},
    service::{PodPort, Server},
    target_object::{TargetObject, Writer, replica_count_tool, target_object},
    unready::why_unready,
};
