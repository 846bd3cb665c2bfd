//! HorizontalPodAutoscalers that come and go. They never scale, because every count is within their bounds.

use anyhow::{Result, ensure};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use tonic::Code;

use super::{
    steps::{Done, ExpectedNote, Walk},
    target::{Autoscaler, Target},
};

/// How the message about an autoscaler begins: in the condition, in the Event, and in the refusal.
pub(super) fn scales(autoscaler: &str) -> String {
    format!("HorizontalPodAutoscaler {autoscaler} scales ")
}

impl Walk<'_> {
    /// Creates the autoscaler of a target, or deletes it.
    pub(super) async fn autoscale(&mut self, index: usize) -> Result<Option<Done>> {
        let autoscalers: Api<HorizontalPodAutoscaler> = Api::namespaced(self.client.clone(), &self.shop.name);
        let target = &mut self.targets[index];
        if let Some(name) = target.autoscaled_by() {
            autoscalers.delete(name, &DeleteParams::default()).await?;
            target.autoscaler = Autoscaler::Gone;
            return Ok(Some(Done { what: format!("delete the autoscaler of {}", target.name), ..Done::default() }));
        }
        let name = format!("{}-{}", target.name, self.rng.u16(..));
        let autoscaler = serde_json::from_value(manifest(&name, target))?;
        autoscalers.create(&PostParams::default(), &autoscaler).await?;
        let event = ExpectedNote {
            target: target.name.clone(),
            reason: "Autoscaled",
            begin: format!("{}this target too: ", scales(&name)),
            end: String::new(),
        };
        let what = format!("create the autoscaler {name} of {}", target.name);
        target.autoscaler = Autoscaler::Exists(name);
        let events = target.held.is_some().then_some(event).into_iter().collect();
        Ok(Some(Done { what, events, ..Done::default() }))
    }

    /// Checks that both replicas refuse a Set of each target with an autoscaler, and no other one.
    pub(super) async fn check_refusals(&self) -> Result<()> {
        let is_asked = |target: &&Target| target.autoscaler != Autoscaler::Absent;
        for (index, target) in self.targets.iter().enumerate().filter(|(_, target)| is_asked(target)) {
            for mut client in self.servers.clients.clone() {
                let request = self.request(index);
                let request = contract::replicas::v1::SetReplicaCountRequest {
                    replicas: Some(target.observed),
                    dry_run: true,
                    ..request
                };
                let refusal = client.set_replica_count(request).await.err();
                let is_right = match (target.autoscaled_by(), &refusal) {
                    (Some(autoscaler), Some(refusal)) => {
                        refusal.code() == Code::FailedPrecondition && refusal.message().starts_with(&scales(autoscaler))
                    }
                    (None, None) => true,
                    _ => false,
                };
                ensure!(is_right, "{:?} of {}, and a Set says {refusal:?}", target.autoscaler, target.name);
            }
        }
        Ok(())
    }
}

fn manifest(name: &str, target: &Target) -> serde_json::Value {
    let scaled = &target.resource;
    json!({
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": scaled.api_version, "kind": scaled.kind, "name": target.name},
            "minReplicas": 1, "maxReplicas": 9,
            "metrics": [{"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50},
            }}],
        },
    })
}
