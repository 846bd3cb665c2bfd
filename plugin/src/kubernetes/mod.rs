//! The API server: the kubeconfig, the client, and what the plugin reads from the cluster.

mod client;
mod cluster;
mod discovery;
mod error;
mod exec_credential;
mod kubeconfig;
pub(crate) mod request;
pub(crate) mod service;

pub(crate) use self::{
    cluster::Cluster,
    discovery::resolve,
    error::Error,
    service::{PodPort, Server},
};
