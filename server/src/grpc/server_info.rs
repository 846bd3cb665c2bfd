//! GetServerInfo: the server's settings, and the caller's user and groups. Every caller may call it.

use contract::replicas::v1::{GetServerInfoResponse, TargetKind};

use super::backend::Backend;
use crate::tls::Identity;

pub(super) fn server_info(backend: &Backend, caller: &Identity) -> GetServerInfoResponse {
    let kinds = backend.index.kinds();
    let kinds = kinds
        .iter()
        .map(|kind| TargetKind { group: kind.group_kind.group.to_string(), kind: kind.group_kind.kind.to_string() });
    GetServerInfoResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        namespace: backend.validator.namespace.clone().unwrap_or_default(),
        max_replicas: backend.validator.max_replicas,
        kinds: kinds.collect(),
        user: caller.user.clone(),
        groups: caller.groups.clone(),
        admission_mode: backend.admission_mode.label().to_owned(),
    }
}
