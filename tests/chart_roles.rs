//! The roles of the chart for users.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use support::chart::{objects, of_kind};

#[tokio::test]
async fn only_the_role_for_admins_lists_targets_and_it_changes_none() -> Result<()> {
    for namespace in ["", "shop"] {
        let targets = json!([{"apiGroup": "argoproj.io", "resource": "rollouts"}]);
        let objects = objects(&json!({"namespace": namespace, "targets": targets})).await?;
        for (role, expected) in [
            ("viewer", vec![]),
            ("editor", vec![]),
            ("admin", vec!["deployments", "statefulsets", "replicasets", "replicationcontrollers", "rollouts"]),
        ] {
            let name = format!("replica-count-manager-{role}");
            let kind = if namespace.is_empty() { "ClusterRole" } else { "Role" };
            let object = of_kind(&objects, kind).find(|object| object["metadata"]["name"] == *name);
            let rules = object.context("no role")?["rules"].as_array().context("no rules")?;
            let of_targets = rules.iter().filter(|rule| rule["apiGroups"] != json!([contract::names::GROUP]));
            let mut listed = Vec::new();
            for rule in of_targets {
                assert_eq!(rule["verbs"], json!(["list"]), "{name}");
                listed.extend(rule["resources"].as_array().into_iter().flatten().filter_map(Value::as_str));
            }
            assert_eq!(listed, expected, "{name}");
        }
    }
    Ok(())
}
