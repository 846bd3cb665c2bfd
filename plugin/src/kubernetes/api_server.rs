//! An API server: how it is reached, and who the user is.

use std::sync::Arc;

use kube::Config;
use rustls::sign::CertifiedKey;

use super::proxy::{Protocol, Proxy};

/// How to reach an API server.
#[derive(Clone)]
pub(super) struct ApiServer {
    /// Everything that kube needs, except the client certificate and the proxy.
    pub(super) config: Config,
    /// The client certificate.
    pub(super) identity: Option<Arc<CertifiedKey>>,
    pub(super) proxy: Option<Proxy>,
}

impl ApiServer {
    /// Whether it or its proxy is reached by TLS.
    pub(super) fn has_tls(&self) -> bool {
        let has_proxy_with_tls = self.proxy.as_ref().is_some_and(|proxy| proxy.protocol == Protocol::Https);
        has_proxy_with_tls || self.config.cluster_url.scheme_str() == Some("https")
    }
}
