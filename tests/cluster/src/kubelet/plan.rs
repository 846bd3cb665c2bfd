//! The process that a container of a pod becomes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::probe::Probes;

/// A process that runs in place of a container.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) folder: PathBuf,
    pub(super) record: PathBuf,
    pub(super) log: PathBuf,
    pub(super) probes: Probes,
    /// Whether the process is started again when it ends.
    pub(super) restarts: bool,
}
