//! Limits of the accept loop, derived from the limit of open files of the process.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// The most established connections. An eighth of them, 64, is for one user: a CI job that runs the plugin 60 times at
/// once has room. An idle connection takes about 32 KiB (measured), one that is used for nothing but memory at most
/// 400 KiB (computed, its buffers in the kernel included).
const MAX_CONNECTIONS: usize = 512;

/// The most connections before their handshake: they send their ClientHello, of up to 16 KiB, or wait. At 10,000 new ones
/// a second, each has 100 ms to send it, and an honest one sends it with its first bytes.
const MAX_HELLOS: usize = 1024;

/// The most handshakes under way. Each takes at most 80 KiB: 64 of what its peer may send, and its own state. A flood of
/// handshakes that never finish gets four times this number of places a second.
const MAX_HANDSHAKES: usize = 512;

/// Files that are kept for everything else: connections to the API server, probes, certificates.
const RESERVED_FILES: usize = 256;

/// Limits of the accept loop, in sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Connections before their handshake.
    pub(super) hellos: usize,
    /// Handshakes under way.
    pub(super) handshakes: usize,
    /// Connections that are established.
    pub(super) connections: usize,
    /// Connections of one user.
    pub(super) connections_per_user: usize,
}

/// The bounds of connections that are not established yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The most connections before their handshake.
    pub(crate) hellos: usize,
    /// The most handshakes under way.
    pub(crate) handshakes: usize,
    /// The longest time from a connection to the end of its handshake.
    pub(crate) timeout: Duration,
}

impl Bounds {
    /// The same, with fewer connections if this process may open few files.
    pub(super) fn within_files(self) -> Self {
        let hellos = Limits::of_process().hellos.clamp(1, self.hellos);
        Self { hellos, handshakes: hellos.min(self.handshakes), ..self }
    }
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

    /// The bounds of connections that are not established yet.
    pub(super) fn before_handshake(self, timeout: Duration) -> Bounds {
        Bounds { hellos: self.hellos, handshakes: self.handshakes, timeout }
    }

    /// Connections of unknown users get at most a quarter of all sockets, so that a user over the limit still gets its
    /// refusal when all other sockets are taken. A user gets an eighth of the connections.
    fn for_files(files: usize) -> Self {
        let sockets = files - RESERVED_FILES.min(files / 2);
        let unknown = (sockets / 4).clamp(1, MAX_HELLOS + MAX_HANDSHAKES);
        let handshakes = (unknown / 2).clamp(1, MAX_HANDSHAKES);
        let hellos = unknown.saturating_sub(handshakes).max(1);
        let connections = sockets.saturating_sub(unknown).clamp(1, MAX_CONNECTIONS);
        Self { hellos, handshakes, connections, connections_per_user: (connections / 8).max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_leave_files_to_everything_else() {
        for (files, [hellos, handshakes, connections, connections_per_user]) in [
            (1_048_576, [1024, 512, 512, 64]),
            (1024, [96, 96, 512, 64]),
            (384, [24, 24, 144, 18]),
            (128, [8, 8, 48, 6]),
            (0, [1, 1, 1, 1]),
        ] {
            let limits = Limits { hellos, handshakes, connections, connections_per_user };
            assert_eq!(Limits::for_files(files), limits, "{files} files");
        }
    }
}
