//! An API server: how it is reached, and who the user is.

use std::sync::Arc;

use kube::Config;
use rustls::sign::CertifiedKey;

use super::proxy::Proxy;

/// How to reach an API server.
#[derive(Clone)]
pub(super) struct ApiServer {
    /// Everything that kube needs, except the client certificate and the proxy.
    pub(super) config: Config,
    /// The client certificate.
    pub(super) identity: Option<Arc<CertifiedKey>>,
    pub(super) proxy: Option<Proxy>,
}
