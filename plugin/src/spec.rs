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

    /// The Set that leads to this spec from any other one, without a target. An override that is over is left
    /// out.
    pub(crate) fn request(&self, now: Timestamp) -> SetReplicaCountRequest {
        let base = SetReplicaCountRequest {
            original_replicas: self.original_replicas,
            replace_reason: true,
            ..SetReplicaCountRequest::default()
        };
        match self.active_override(now) {
            None => SetReplicaCountRequest { replicas: Some(self.replicas), reason: self.reason.clone(), ..base },
            Some(over) => SetReplicaCountRequest {
                replicas: Some(over.replicas),
                reason: over.reason.clone(),
                until: Some(to_proto(over.until)),
                then_unset: over.then_unset,
                lasting_replicas: Some(self.replicas),
                lasting_reason: self.reason.clone(),
                ..base
            },
        }
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
    fn one_set_leads_to_the_spec() {
        let (before, after) = ("2026-11-23T17:00:00Z", "2026-11-23T19:00:00Z");
        for (name, wanted, now, expected) in [
            ("a lasting count", spec(3, "x", None), before, (Some(3), "x", false, None, "")),
            ("an override beside it", spec(3, "x", Some(9)), before, (Some(9), "sale", true, Some(3), "x")),
            ("an override that is over", spec(3, "", Some(9)), after, (Some(3), "", false, None, "")),
        ] {
            let it = wanted.request(at(now));
            let found =
                (it.replicas, it.reason.as_str(), it.until.is_some(), it.lasting_replicas, it.lasting_reason.as_str());
            assert_eq!(found, expected, "{name}");
            assert!(it.replace_reason && it.original_replicas == Some(1), "{name}: {it:?}");
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
