//! The API server: the kubeconfig, the client, and what the plugin reads from the cluster.

mod api_server;
mod api_user;
mod client;
mod cluster;
mod discovery;
mod error;
mod exec_credential;
mod identity;
mod kubeconfig;
mod namespaces;
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
    discovery::{resolve, version},
    error::Error,
    kubeconfig::context_names,
    namespaces::namespaces,
    service::{PodPort, Server},
    unready::why_unready,
};
