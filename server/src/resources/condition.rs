//! A condition in the status of a `ReplicaCount`, stored in little memory.

use std::{borrow::Cow, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{self, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// A metav1.Condition. Most targets have the same texts, so these can be shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about, such as `Ready`.
    #[serde(default, rename = "type")]
    pub type_: Arc<str>,
    /// `True`, `False` or `Unknown`.
    #[serde(default)]
    pub status: Arc<str>,
    /// Why, for programs.
    #[serde(default)]
    pub reason: Arc<str>,
    /// Why, for people.
    #[serde(default)]
    pub message: Arc<str>,
    /// When its status changed last.
    pub last_transition_time: Time,
    /// The generation of the spec that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

impl Condition {
    /// Whether it is of this type and has this status.
    pub fn is(&self, type_: &str, status: &str) -> bool {
        (&*self.type_, &*self.status) == (type_, status)
    }

    /// All texts, for interning.
    pub(crate) fn texts_mut(&mut self) -> [&mut Arc<str>; 4] {
        [&mut self.type_, &mut self.status, &mut self.reason, &mut self.message]
    }
}

impl JsonSchema for Condition {
    fn schema_name() -> Cow<'static, str> {
        v1::Condition::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        v1::Condition::json_schema(generator)
    }
}
