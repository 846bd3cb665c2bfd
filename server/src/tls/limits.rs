//! Limits of the accept loop, derived from the limit of open files of the process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// The most established connections. An eighth of them, 64, is for one user: a CI job that runs the plugin 60 times at
/// once has room. An idle connection takes about 60 KiB, one that is used for nothing but memory about 400 KiB, its
/// buffers in the kernel included.
const MAX_CONNECTIONS: usize = 512;

/// The most handshakes under way. Each takes at most 80 KiB: 64 of what its peer may send, and its own state. A flood of
/// half-open ones is accepted at four times this number a second.
const MAX_HANDSHAKES: usize = 512;

/// Files that are kept for everything else: connections to the API server, probes, certificates.
const RESERVED_FILES: usize = 256;

/// Limits of the accept loop, in sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Handshakes under way.
    pub(super) handshakes: usize,
    /// Connections that are established.
    pub(super) connections: usize,
    /// Connections of one user.
    pub(super) connections_per_user: usize,
}

impl Limits {
    /// The limits of this process, after raising its limit of open files as far as it may.
    pub(super) fn of_process() -> Self {
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            warn!(%error, "the limit of open files was not raised");
        }
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self::for_files(usize::try_from(files).unwrap_or(usize::MAX))
    }

    /// Handshakes get up to [`MAX_HANDSHAKES`] sockets, at most a quarter of all, so that a user over the limit still gets
    /// its refusal when all other sockets are taken. A user gets an eighth of the connections.
    fn for_files(files: usize) -> Self {
        let sockets = files - RESERVED_FILES.min(files / 2);
        let handshakes = (sockets / 4).clamp(1, MAX_HANDSHAKES);
        let connections = sockets.saturating_sub(handshakes).clamp(1, MAX_CONNECTIONS);
        Self { handshakes, connections, connections_per_user: (connections / 8).max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_leave_files_to_everything_else() {
        for (files, limits) in [
            (1_048_576, Limits { handshakes: 512, connections: 512, connections_per_user: 64 }),
            (1024, Limits { handshakes: 192, connections: 512, connections_per_user: 64 }),
            (384, Limits { handshakes: 48, connections: 144, connections_per_user: 18 }),
            (128, Limits { handshakes: 16, connections: 48, connections_per_user: 6 }),
            (0, Limits { handshakes: 1, connections: 1, connections_per_user: 1 }),
        ] {
            assert_eq!(Limits::for_files(files), limits, "{files} files");
        }
    }
}
