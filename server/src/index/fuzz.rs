//! Mutations of autoscalers.

use serde_json::json;

use super::autoscalers::Autoscaler;

#[test]
fn no_autoscaler_makes_the_reader_panic() {
    let target = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web"});
    let seed = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"scaleTargetRef": target}});
    fuzz::target("HorizontalPodAutoscaler").seeds([seed.to_string()]).words(["apps/v1", "/", "null"]).bytes(|input| {
        let Ok(autoscaler) = serde_json::from_slice::<Autoscaler>(input) else { return false };
        let _ = (autoscaler.key(), autoscaler.target());
        true
    });
}
