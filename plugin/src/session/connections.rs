//! The connections of a command that asks several contexts.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use tokio::sync::OnceCell;

use super::{Client, Error, connect, tls};
use crate::{config::Settings, kubernetes::Cluster};

/// The connections of a command. Contexts that differ in their names and namespaces alone share one: many kubeconfigs
/// have a context for each namespace of a cluster.
#[derive(Default)]
pub(crate) struct Connections(RefCell<Vec<Rc<Connection>>>);

/// A connection, and what a context must have to share it.
struct Connection {
    /// The names of the kubeconfig's cluster and user.
    entries: (String, String),
    settings: Settings,
    client: OnceCell<Result<Client, Arc<Error>>>,
}

impl Connections {
    /// The client of the server, for the context of a cluster. Waits for another context that is about to connect, and
    /// shares its failure, too.
    pub(super) async fn client(
        &self,
        cluster: &Cluster,
        settings: &Settings,
        limit: Duration,
    ) -> Result<Client, Error> {
        // This finds problems with the context's certificates before anything uses the network.
        let tls = tls::client_config(settings, cluster.context())?;
        let connect = || connect(cluster, settings, tls, limit);
        let Some(entries) = cluster.entries() else { return connect().await };
        let connection = self.find(entries, settings);
        let connected = connection.client.get_or_init(async || connect().await.map_err(Arc::new)).await;
        connected.clone().map_err(Error::Shared)
    }

    fn find(&self, (cluster, user): (&str, &str), settings: &Settings) -> Rc<Connection> {
        let mut connections = self.0.borrow_mut();
        let is_same = |connection: &&Rc<Connection>| {
            connection.entries.0 == cluster && connection.entries.1 == user && connection.settings == *settings
        };
        if let Some(found) = connections.iter().find(is_same) {
            return found.clone();
        }
        let entries = (cluster.to_owned(), user.to_owned());
        let added = Rc::new(Connection { entries, settings: settings.clone(), client: OnceCell::new() });
        connections.push(added.clone());
        added
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ServiceRef;

    #[test]
    fn only_contexts_with_the_same_cluster_user_and_settings_share_a_connection() {
        let settings = |name: &str| Settings {
            ca: None,
            certificate: None,
            key: None,
            server_name: Some(name.to_owned()),
            service: ServiceRef::default(),
            address: None,
            path: None,
            login_ca: None,
            login: None,
        };
        for (name, entries, server_name, expected) in [
            ("the same", ("c", "u"), "a", true),
            ("another cluster", ("d", "u"), "a", false),
            ("another user", ("c", "v"), "a", false),
            ("other settings", ("c", "u"), "b", false),
        ] {
            let connections = Connections::default();
            let first = connections.find(("c", "u"), &settings("a"));
            let second = connections.find(entries, &settings(server_name));
            assert_eq!(Rc::ptr_eq(&first, &second), expected, "{name}");
        }
    }
}
