//! The options of a cluster.

use std::path::PathBuf;

use crate::component::Component;

/// How to start a cluster. The default suits nearly every test.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether etcd waits for the disk, for tests about lost data. Without it, everything is several times faster.
    pub fsync: bool,
    /// The cluster's folder, which must be new or empty. The default is a new folder among the temporary files.
    pub folder: Option<PathBuf>,
    /// More flags of components.
    pub flags: Vec<(Component, String)>,
}

impl Options {
    /// The flags that these options add to a component.
    pub(crate) fn flags_of(&self, component: Component) -> impl Iterator<Item = &str> {
        let durability = (component == Component::Etcd && !self.fsync).then_some("--unsafe-no-fsync");
        let further = self.flags.iter().filter(move |(owner, _)| *owner == component);
        durability.into_iter().chain(further.map(|(_, flag)| flag.as_str()))
    }
}
