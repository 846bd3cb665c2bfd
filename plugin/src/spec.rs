//! What a ReplicaCount holds: the part of it that a user writes, and the requests that lead to it.

use contract::replicas::v1::{self, ReplicaCount, SetReplicaCountRequest};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::time::{from_proto, to_proto};

/// The counts of a target, and why they were set.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Spec {
    /// The lasting count, in replicas.
    pub(crate) replicas: i32,
    /// The count from before the target was managed, in replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) original_replicas: Option<i32>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    #[serde(default, rename = "override", skip_serializing_if = "Option::is_none")]
    pub(crate) override_: Option<Override>,
}

/// A count with an end, which takes precedence over the lasting one.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Override {
    pub(crate) replicas: i32,
    pub(crate) until: Timestamp,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) then_unset: bool,
}

impl Spec {
    /// Takes the spec of a replica count. A target that is not managed has none.
    pub(crate) fn of(count: &ReplicaCount) -> Option<Self> {
        let over = count.r#override.as_ref().and_then(|over| {
            let until = over.until.as_ref().and_then(from_proto)?;
            Some(Override { replicas: over.replicas?, until, reason: over.reason.clone(), then_unset: over.then_unset })
        });
        Some(Self {
            replicas: count.replicas?,
            original_replicas: count.original_replicas,
            reason: count.reason.clone(),
            override_: over,
        })
    }

    /// The override, unless it is over.
    pub(crate) fn active_override(&self, now: Timestamp) -> Option<&Override> {
        self.override_.as_ref().filter(|over| over.until > now)
    }

    /// The count that should hold now.
    pub(crate) fn desired(&self, now: Timestamp) -> i32 {
        self.active_override(now).map_or(self.replicas, |over| over.replicas)
    }

    /// The requests that lead from the present spec to this one, in their order, without a target.
    ///
    /// A Set of a lasting count ends an override. So it comes first, and is left out if only the override differs.
    pub(crate) fn requests(&self, present: Option<&Self>, now: Timestamp) -> Vec<SetReplicaCountRequest> {
        let lasting = SetReplicaCountRequest {
            replicas: Some(self.replicas),
            original_replicas: self.original_replicas,
            reason: self.reason.clone(),
            ..SetReplicaCountRequest::default()
        };
        let Some(over) = self.active_override(now) else { return vec![lasting] };
        let over = SetReplicaCountRequest {
            replicas: Some(over.replicas),
            original_replicas: self.original_replicas,
            reason: over.reason.clone(),
            until: Some(to_proto(over.until)),
            then_unset: over.then_unset,
            ..SetReplicaCountRequest::default()
        };
        let has_lasting =
            present.is_some_and(|present| present.replicas == self.replicas && present.reason == self.reason);
        if has_lasting { vec![over] } else { vec![lasting, over] }
    }
}

/// Whether two reads of a target differ in nothing that a Set changes. The status changes by itself.
pub(crate) fn is_same(before: &ReplicaCount, after: &ReplicaCount) -> bool {
    let part = |count: &ReplicaCount| {
        let v1::ReplicaCount { desired, replicas, reason, set_by, r#override, .. } = count.clone();
        (desired, replicas, reason, set_by, r#override)
    };
    part(before) == part(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn spec(replicas: i32, reason: &str, over: Option<i32>) -> Spec {
        let over = over.map(|replicas| Override {
            replicas,
            until: at("2026-11-23T18:00:00Z"),
            reason: "sale".to_owned(),
            then_unset: false,
        });
        Spec { replicas, original_replicas: Some(1), reason: reason.to_owned(), override_: over }
    }

    #[test]
    fn the_requests_lead_to_the_spec() {
        struct Row {
            name: &'static str,
            present: Option<Spec>,
            wanted: Spec,
            now: &'static str,
            /// The counts, and whether each has an end.
            requests: &'static [(i32, bool)],
        }
        let (before, after) = ("2026-11-23T17:00:00Z", "2026-11-23T19:00:00Z");
        for Row { name, present, wanted, now, requests } in [
            Row { name: "lasting", present: None, wanted: spec(3, "", None), now: before, requests: &[(3, false)] },
            Row {
                name: "an override beside another lasting count",
                present: Some(spec(5, "", None)),
                wanted: spec(3, "", Some(9)),
                now: before,
                requests: &[(3, false), (9, true)],
            },
            Row {
                name: "an override beside the same lasting count",
                present: Some(spec(3, "", None)),
                wanted: spec(3, "", Some(9)),
                now: before,
                requests: &[(9, true)],
            },
            Row {
                name: "an override beside another reason",
                present: Some(spec(3, "x", None)),
                wanted: spec(3, "", Some(9)),
                now: before,
                requests: &[(3, false), (9, true)],
            },
            Row {
                name: "an override that is over",
                present: Some(spec(5, "", None)),
                wanted: spec(3, "", Some(9)),
                now: after,
                requests: &[(3, false)],
            },
            Row {
                name: "the end of an override",
                present: Some(spec(3, "", Some(9))),
                wanted: spec(3, "", None),
                now: before,
                requests: &[(3, false)],
            },
        ] {
            let found = wanted.requests(present.as_ref(), at(now));
            let found: Vec<_> = found.iter().map(|it| (it.replicas.unwrap(), it.until.is_some())).collect();
            assert_eq!(found, requests, "{name}");
        }
    }

    #[test]
    fn a_spec_is_taken_from_a_managed_target_alone() {
        assert_eq!(Spec::of(&ReplicaCount { observed: Some(3), ..ReplicaCount::default() }), None);
        let until = Some(to_proto(at("2026-11-23T18:00:00Z")));
        let over = v1::Override { replicas: Some(9), until, reason: "sale".to_owned(), then_unset: false };
        let count = ReplicaCount {
            replicas: Some(3),
            original_replicas: Some(1),
            r#override: Some(over),
            ..ReplicaCount::default()
        };
        let taken = Spec::of(&count).unwrap();
        assert_eq!(taken, spec(3, "", Some(9)));
        assert_eq!(taken.desired(at("2026-11-23T17:00:00Z")), 9);
        assert_eq!(taken.desired(at("2026-11-23T18:00:00Z")), 3);
        assert!(is_same(&count, &ReplicaCount { drifts: 7, observed: Some(1), ..count.clone() }));
        assert!(!is_same(&count, &ReplicaCount { set_by: "bob".to_owned(), ..count.clone() }));
    }
}
