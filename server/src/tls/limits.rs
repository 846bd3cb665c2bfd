//! How many connections there may be, by how many files the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// The most sockets of clients, however many files may be open: each costs memory.
const MAX_SOCKETS: usize = 4096;

/// The most handshakes under way; each holds a socket and about 40 KiB.
const MAX_HANDSHAKES: usize = 1024;

/// The files that everything else may need: watches and writes of the API server, probes, certificates.
const RESERVED_FILES: usize = 256;

/// Limits of the accept loop, in sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Handshakes under way.
    pub(super) handshakes: usize,
    /// Connections that are established.
    pub(super) connections: usize,
    /// Of these, one user's.
    pub(super) each: usize,
}

impl Limits {
    /// Those of this process, once it may open as many files as it can be allowed to.
    pub(super) fn of_process() -> Self {
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            warn!(%error, "the limit of open files was not raised");
        }
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self::for_files(usize::try_from(files).unwrap_or(usize::MAX))
    }

    /// A quarter of the sockets is for handshakes, so that users who are many keep no other from being told so.
    fn for_files(files: usize) -> Self {
        let sockets = (files - RESERVED_FILES.min(files / 2)).min(MAX_SOCKETS);
        let handshakes = (sockets / 4).clamp(1, MAX_HANDSHAKES);
        let connections = sockets.saturating_sub(handshakes).max(1);
        Self { handshakes, connections, each: (connections / 8).max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_leave_files_to_everything_else() {
        let limits = |handshakes, connections, each| Limits { handshakes, connections, each };
        assert_eq!(Limits::for_files(1_048_576), limits(1024, 3072, 384));
        assert_eq!(Limits::for_files(1024), limits(192, 576, 72));
        assert_eq!(Limits::for_files(128), limits(16, 48, 6));
        assert_eq!(Limits::for_files(0), limits(1, 1, 1));
    }
}
