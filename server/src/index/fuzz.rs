//! Mutations of autoscalers.

use kube::Resource;
use serde_json::{Value, json};

use super::autoscalers::{Autoscaler, autoscaler_key};
use crate::resources::Lenient;

#[test]
fn no_autoscaler_makes_the_reader_panic() {
    let target = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web"});
    let seed = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"scaleTargetRef": target}});
    fuzz::target("HorizontalPodAutoscaler").seeds([seed.to_string()]).words(["apps/v1", "/", "null"]).bytes(|input| {
        // Only what is no JSON makes a whole list unreadable.
        let Ok(autoscaler) = serde_json::from_slice::<Lenient<Autoscaler>>(input) else {
            assert!(serde_json::from_slice::<Value>(input).is_err());
            return false;
        };
        let _ = autoscaler_key(autoscaler.meta());
        let Ok(autoscaler) = autoscaler.read() else { return true };
        let _ = autoscaler.target();
        true
    });
}
