//! The API server: the kubeconfig, the client, and what the plugin reads from the cluster.

mod api_server;
mod api_user;
mod client;
mod cluster;
mod cluster_uid;
mod discovery;
mod error;
mod exec_credential;
mod identity;
mod kubeconfig;
mod proxy;
pub(crate) mod request;
mod server_certificate;
mod server_url;
pub(crate) mod service;
mod traced;
mod unready;

pub(crate) use self::{
    api_user::{ApiUser, own},
    cluster::Cluster,
    cluster_uid::uid,
    discovery::{resolve, version},
    error::Error,
    service::{PodPort, Server},
    unready::why_unready,
};
