//! A pod of the server, for tests of the checks.

use crate::kubernetes::PodState;

/// Builds a ready pod that was never restarted and has no address.
pub(super) fn pod(name: &str) -> PodState {
    PodState {
        name: name.to_owned(),
        is_ready: true,
        state: "Running".to_owned(),
        restarts: 0,
        last_restart: None,
        account: "server".to_owned(),
        addresses: Vec::new(),
    }
}
