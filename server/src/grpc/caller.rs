//! The caller of an RPC.

use std::sync::Arc;

use tonic::{Request, Status};

use crate::tls::Identity;

/// The identity in the client certificate, which the handshake has verified.
pub(super) fn caller<T>(request: &Request<T>) -> Result<Arc<Identity>, Status> {
    request.extensions().get().cloned().ok_or_else(|| Status::internal("the connection has no identity"))
}
