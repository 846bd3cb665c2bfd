//! The Events of a target, as far as the caller may read them.

use std::time::Duration;

use contract::{names::CORE_GROUP, replicas::v1::Target};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::{Api, api::ListParams};

use super::{cluster::Cluster, error::Error, request::send};

/// The reason of the server's Event about the end of a target's management.
const UNMANAGED: &str = "Unmanaged";

/// The most Events that are read. A target has one for each end of its management, and they are kept for an hour unless
/// the API server is configured otherwise.
const MAX_EVENTS: u32 = 100;

/// An Event of a target.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TargetEvent {
    pub(crate) at: Timestamp,
    pub(crate) note: String,
}

/// Reads the Events about the ends of a target's management, the oldest first.
pub(crate) async fn ends_of_management(
    cluster: &Cluster,
    target: &Target,
    limit: Duration,
) -> Result<Vec<TargetEvent>, Error> {
    let events: Api<Event> = Api::namespaced(cluster.client().await?, &target.namespace);
    let kind = if target.kind.is_empty() { "Deployment" } else { &target.kind };
    let fields = format!("involvedObject.kind={kind},involvedObject.name={},reason={UNMANAGED}", target.name);
    let params = ListParams::default().fields(&fields).limit(MAX_EVENTS);
    let action = format!("list events in the namespace {}", target.namespace);
    let list = send(limit, action, events.list(&params)).await?;
    let mut ends: Vec<_> = list.items.iter().filter(|event| is_of_group(event, target)).filter_map(read).collect();
    ends.sort_by_key(|event| event.at);
    Ok(ends)
}

/// Whether an Event is about an object of the target's group. Kinds of several groups may have one name.
fn is_of_group(event: &Event, target: &Target) -> bool {
    let version = event.involved_object.api_version.as_deref().unwrap_or_default();
    let group = version.split_once('/').map_or(CORE_GROUP, |(group, _)| group);
    group == if target.group.is_empty() { "apps" } else { &target.group }
}

fn read(event: &Event) -> Option<TargetEvent> {
    let at = event.event_time.as_ref().map(|time| time.0).or_else(|| event.first_timestamp.as_ref().map(|time| time.0));
    Some(TargetEvent { at: at?, note: event.message.clone().unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_counts_if_it_is_of_the_group_and_has_a_time() {
        let target = |group: &str| Target { group: group.to_owned(), ..Target::default() };
        let time = "1970-01-01T00:00:01.000002Z";
        for (name, version, field, group, expected) in [
            ("apps", "apps/v1", "eventTime", "", Some(1)),
            ("apps, by name", "apps/v1", "eventTime", "apps", Some(1)),
            ("the core group", "v1", "eventTime", "core", Some(1)),
            ("an older Event", "apps/v1", "firstTimestamp", "apps", Some(1)),
            ("another group", "example.com/v1", "eventTime", "apps", None),
            ("without a time", "apps/v1", "note", "apps", None),
        ] {
            let event = json!({
                "metadata": {}, "involvedObject": {"apiVersion": version}, "message": "no longer held", field: time,
            });
            let event: Event = serde_json::from_value(event).unwrap();
            let found = Some(&event).filter(|event| is_of_group(event, &target(group))).and_then(read);
            let expected = expected.map(|second| (second, "no longer held"));
            let found = found.as_ref().map(|found| (found.at.as_second(), found.note.as_str()));
            assert_eq!(found, expected, "{name}");
        }
    }
}
