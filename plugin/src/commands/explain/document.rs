//! The explanation for programs. Its shape is stable, as that of `get -o json`.
//!
//! ```yaml
//! apiVersion: cli.replica-count-manager.io/v1
//! kind: ReplicaCountExplanation
//! managed: true                       # left out if you may not know
//! replicaCount: {…}                   # as in `get -o json`
//! lastWriter: {manager: helm, operation: Apply, at: …}
//! appliers: [helm]
//! autoscalers: [web-cpu]
//! controller: Kafka events
//! tool: the Helm release shop/web
//! replicaCountTool: the Argo CD application shop
//! unreadyPods: ["1 pod: ImagePullBackOff"]
//! rights: {user: alice, serverUser: alice, set: true, unset: true, scale: false}
//! unknown: ["You may not list pods in the namespace shop."]
//! ```
//!
//! Several targets are the `items` of a `ReplicaCountExplanationList`.

use jiff::Timestamp;
use serde::Serialize;

use super::facts::{Facts, Rights};
use crate::{
    kubernetes::Writer,
    output::document::{self, Document, Items, ReplicaCount},
};

/// The content of an explanation.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explanation {
    #[serde(skip_serializing_if = "Option::is_none")]
    managed: Option<bool>,
    replica_count: ReplicaCount,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_writer: Option<LastWriter>,
    appliers: Vec<String>,
    autoscalers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    controller: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replica_count_tool: Option<String>,
    unready_pods: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rights: Option<UserRights>,
    unknown: Vec<String>,
}

#[derive(Serialize)]
struct LastWriter {
    manager: String,
    operation: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    subresource: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserRights {
    user: String,
    server_user: String,
    set: bool,
    unset: bool,
    scale: bool,
}

impl From<Writer> for LastWriter {
    fn from(Writer { manager, operation, subresource, at }: Writer) -> Self {
        Self { manager, operation, subresource, at }
    }
}

impl From<Rights> for UserRights {
    fn from(Rights { user, server_user, set, unset, scale }: Rights) -> Self {
        Self { user, server_user, set, unset, scale }
    }
}

/// The document of an explanation.
pub(super) fn of(facts: Facts) -> Document<Explanation> {
    let unknown = facts.missing().into_iter().map(str::to_owned).collect();
    let managed = facts.hidden.is_none().then(|| facts.is_managed());
    let appliers = facts.appliers().to_vec();
    let object = facts.object.ok().flatten().unwrap_or_default();
    let content = Explanation {
        managed,
        replica_count: facts.count.into(),
        last_writer: object.last_writer.map(Into::into),
        appliers,
        autoscalers: facts.autoscalers.unwrap_or_default(),
        controller: object.controller,
        tool: object.tool,
        replica_count_tool: facts.keeper.ok().flatten(),
        unready_pods: facts.pods.unwrap_or_default(),
        rights: facts.rights.ok().map(Into::into),
        unknown,
    };
    document::of_kind("ReplicaCountExplanation", content)
}

/// The document of several explanations.
pub(super) fn of_several(facts: Vec<Facts>) -> Document<Items<Explanation>> {
    document::list_of_kind("ReplicaCountExplanationList", facts.into_iter().map(of).collect())
}
