//! The parts of a replica count for programs.

use contract::replicas::v1;
use jiff::Timestamp;
use serde::Serialize;

use crate::time::from_proto;

/// A target.
#[derive(Debug, Serialize)]
pub(in crate::output) struct Target {
    namespace: String,
    group: String,
    kind: String,
    name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Override {
    replicas: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    then_unset: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::output) struct Drift {
    #[serde(skip_serializing_if = "is_zero")]
    number: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    manager: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    operation: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    subresource: String,
    from: Option<i32>,
    to: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    corrected_at: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
pub(super) struct Drifter {
    manager: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    count: i64,
    from: Option<i32>,
    to: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
pub(in crate::output) struct Attempt {
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    manager: String,
    from: Option<i32>,
    to: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    verdict: String,
}

#[derive(Debug, Serialize)]
pub(in crate::output) struct Change {
    #[serde(skip_serializing_if = "is_zero")]
    number: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    field: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<i32>,
    to: Option<i32>,
    #[serde(skip_serializing_if = "String::is_empty")]
    by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Condition {
    r#type: String,
    status: String,
    reason: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_transition_time: Option<Timestamp>,
}

/// An older server numbers nothing.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn time(time: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    time.as_ref().and_then(from_proto)
}

impl From<v1::Target> for Target {
    fn from(v1::Target { namespace, group, kind, name }: v1::Target) -> Self {
        Self { namespace, group, kind, name }
    }
}

impl From<v1::Override> for Override {
    fn from(v1::Override { replicas, until, reason, then_unset }: v1::Override) -> Self {
        Self { replicas, until: time(until), reason, then_unset }
    }
}

impl From<v1::Drift> for Drift {
    fn from(drift: v1::Drift) -> Self {
        let v1::Drift { number, user, manager, operation, subresource, from, to, at, corrected_at } = drift;
        Self { number, user, manager, operation, subresource, from, to, at: time(at), corrected_at: time(corrected_at) }
    }
}

impl From<v1::Drifter> for Drifter {
    fn from(v1::Drifter { manager, user, count, from, to, last }: v1::Drifter) -> Self {
        Self { manager, user, count, from, to, last: time(last) }
    }
}

impl From<v1::Attempt> for Attempt {
    fn from(v1::Attempt { user, manager, from, to, at, verdict }: v1::Attempt) -> Self {
        Self { user, manager, from, to, at: time(at), verdict }
    }
}

impl From<v1::Change> for Change {
    fn from(v1::Change { number, field, from, to, by, reason, at }: v1::Change) -> Self {
        Self { number, field, from, to, by, reason, at: time(at) }
    }
}

impl From<v1::Condition> for Condition {
    fn from(v1::Condition { r#type, status, reason, message, last_transition_time }: v1::Condition) -> Self {
        Self { r#type, status, reason, message, last_transition_time: time(last_transition_time) }
    }
}
