//! Looks for the leaders of other servers in the cluster, such as that of a second release for all namespaces.
//!
//! Two servers agree about the counts, because both take them from the same ReplicaCounts. But both correct each drift,
//! both write each status, and one of them may be an old version. So the leader says that there is another one.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::MicroTime};
use kube::{Api, Client, ResourceExt, api::ListParams, runtime::events::EventType};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::{elector::LeaseArgs, leadership::Leadership, lease::LEASE_DURATION};
use crate::{
    resources::Lenient,
    runtime::pod::{PodArgs, PodEvents},
    telemetry::{self, Metrics},
};

/// The label of a Lease with the namespace that its holder manages. Its value is empty if the holder manages all.
pub(crate) const MANAGES: &str = "replica-count-manager.io/manages";

/// The pause between two looks. A leader renews its Lease every 2 s, so a Lease without a renewal for so long has none.
const PAUSE: Duration = LEASE_DURATION;

/// The longest time of one look.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How many Leases with the label one look reads. A cluster has few servers, but any user who may create Leases can label
/// some, and each can have 1.5 MiB.
const MOST_LEASES: u32 = 20;

/// How many other servers a message names.
const MOST_NAMED: usize = 5;

/// A Lease of a leader: its namespace and its name.
type LeaseKey = (String, String);

/// A Lease at one look.
#[derive(Clone, Debug, PartialEq)]
struct Look {
    renewed: Option<MicroTime>,
    /// The namespace that its holder manages; empty means all.
    manages: String,
}

/// Looks for the leaders of other servers while this replica leads.
pub(crate) struct OtherServers {
    leases: Api<Lenient<Lease>>,
    own: LeaseKey,
    leadership: Leadership,
    metrics: Arc<Metrics>,
    events: PodEvents,
}

impl OtherServers {
    /// Looks beside the Lease of this server.
    pub(crate) fn new(
        client: Client,
        lease: &LeaseArgs,
        pod: &PodArgs,
        leadership: Leadership,
        metrics: Arc<Metrics>,
    ) -> Self {
        let events = PodEvents::new(client.clone(), pod);
        let own = (pod.pod_namespace.clone(), lease.lease.clone());
        Self { leases: Api::all(client), own, leadership, metrics, events }
    }

    /// Runs for as long as it is polled.
    pub(crate) async fn run(mut self) {
        loop {
            let term = self.leadership.begins().await;
            term.run(self.look()).await;
            self.metrics.other_servers.set(0);
        }
    }

    /// Looks again and again, and reports each change.
    async fn look(&self) {
        let (mut before, mut reported) = (BTreeMap::new(), BTreeMap::new());
        loop {
            let params = ListParams::default().labels(MANAGES).limit(MOST_LEASES);
            match timeout(TIMEOUT, self.leases.list(&params)).await {
                Ok(Ok(leases)) => {
                    let leases: Vec<_> = leases.items.into_iter().filter_map(|lease| lease.read().ok()).collect();
                    let now = held(&leases, &self.own);
                    let others = renewed(&before, &now);
                    if others != reported {
                        self.report(&others).await;
                    }
                    (before, reported) = (now, others);
                }
                // One-namespace roles and roles of an older chart do not allow it.
                Ok(Err(error)) => debug!(error = telemetry::chain(&error), "other servers cannot be looked for"),
                Err(_) => debug!("other servers cannot be looked for: no answer within {TIMEOUT:?}"),
            }
            sleep(PAUSE).await;
        }
    }

    async fn report(&self, others: &BTreeMap<LeaseKey, String>) {
        self.metrics.other_servers.set(others.len().try_into().unwrap_or(i64::MAX));
        if others.is_empty() {
            return info!("no other server manages the same targets any more");
        }
        let problem = problem(others);
        warn!(problem, "another server manages the same targets");
        self.events.record(EventType::Warning, "OtherServer", "LookForOtherServers", &problem).await;
    }
}

/// The Leases of others that have a holder.
fn held(leases: &[Lease], own: &LeaseKey) -> BTreeMap<LeaseKey, Look> {
    let looks = leases.iter().filter_map(|lease| {
        let spec = lease.spec.as_ref()?;
        spec.holder_identity.as_ref().filter(|holder| !holder.is_empty())?;
        let manages = lease.labels().get(MANAGES)?.clone();
        Some(((lease.namespace()?, lease.name_any()), Look { renewed: spec.renew_time.clone(), manages }))
    });
    looks.filter(|(key, _)| key != own).collect()
}

/// The Leases that were renewed between two looks, with what their holders manage. Nothing depends on the clocks of
/// others.
fn renewed(before: &BTreeMap<LeaseKey, Look>, now: &BTreeMap<LeaseKey, Look>) -> BTreeMap<LeaseKey, String> {
    let is_renewed = |(key, look): &(&LeaseKey, &Look)| before.get(key).is_some_and(|old| old.renewed != look.renewed);
    now.iter().filter(is_renewed).map(|(key, look)| (key.clone(), look.manages.clone())).collect()
}

fn problem(others: &BTreeMap<LeaseKey, String>) -> String {
    let one = |((namespace, name), manages): (&LeaseKey, &String)| match manages.as_str() {
        "" => format!("the server with the Lease {namespace}/{name} manages all namespaces too"),
        manages => format!("the server with the Lease {namespace}/{name} manages the namespace {manages} too"),
    };
    let mut named: Vec<_> = others.iter().take(MOST_NAMED).map(one).collect();
    if others.len() > MOST_NAMED {
        named.push(format!("so do {} more", others.len() - MOST_NAMED));
    }
    format!("{}: uninstall one release, or give each its own namespace", named.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lease(namespace: &str, holder: &str, second: u8, labels: Value) -> Lease {
        let renewed = format!("2026-01-01T00:00:{second:02}.000000Z");
        serde_json::from_value(json!({
            "metadata": {"name": "rcm", "namespace": namespace, "labels": labels},
            "spec": {"holderIdentity": holder, "renewTime": renewed},
        }))
        .unwrap()
    }

    #[test]
    fn another_server_is_one_that_renews_its_lease() {
        let own = ("here".to_owned(), "rcm".to_owned());
        let (all, shop) = (json!({MANAGES: ""}), json!({MANAGES: "shop"}));
        let before = [
            lease("here", "a", 1, all.clone()),
            lease("leads", "b", 1, all.clone()),
            lease("of-one", "c", 1, shop.clone()),
            lease("gone", "d", 1, all.clone()),
            lease("released", "", 1, all.clone()),
            lease("unlabelled", "e", 1, json!({})),
        ];
        let now = [
            lease("here", "a", 31, all.clone()),
            lease("leads", "b", 31, all.clone()),
            lease("of-one", "c", 2, shop),
            lease("gone", "d", 1, all.clone()),
            lease("released", "", 2, all.clone()),
            lease("unlabelled", "e", 31, json!({})),
            lease("first-seen", "f", 31, all),
        ];
        let found = renewed(&held(&before, &own), &held(&now, &own));
        let names: Vec<_> = found.iter().map(|((namespace, _), manages)| (&**namespace, &**manages)).collect();
        assert_eq!(names, [("leads", ""), ("of-one", "shop")]);
        let text = problem(&found);
        assert!(text.contains("Lease leads/rcm manages all namespaces"), "{text}");
        assert!(text.contains("Lease of-one/rcm manages the namespace shop"), "{text}");
        assert_eq!(renewed(&held(&now, &own), &held(&now, &own)), BTreeMap::new(), "two looks at one renewal");
    }
}
