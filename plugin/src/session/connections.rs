//! The connections of a command that asks several contexts.

use std::{cell::RefCell, rc::Rc, time::Duration};

use tokio::sync::OnceCell;

use super::{Client, Error, connect};
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
    /// None after a failure.
    client: OnceCell<Option<Client>>,
}

impl Connections {
    /// The client of the server. Waits for a context that is about to connect. If that fails, each of the others tries for
    /// itself, so that none waits for several, and each says what it met.
    pub(super) async fn client(
        &self,
        cluster: &Cluster,
        settings: &Settings,
        limit: Duration,
    ) -> Result<Client, Error> {
        let Some(entries) = cluster.entries() else { return connect(cluster, settings, limit).await };
        let connection = self.find(entries, settings);
        let mut own_error = None;
        let first = async || connect(cluster, settings, limit).await.map_err(|error| own_error = Some(error)).ok();
        match (connection.client.get_or_init(first).await, own_error) {
            (Some(client), _) => Ok(client.clone()),
            (None, Some(error)) => Err(error),
            (None, None) => connect(cluster, settings, limit).await,
        }
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
