//! The webhooks that the chart makes.

use anyhow::Result;
use serde_json::{Value, json};

use support::{chart::objects, release};

#[tokio::test]
async fn webhooks_cannot_stop_a_write_and_leave_out_what_the_server_writes() -> Result<()> {
    for (mode, certificates, number) in
        [("off", "managed", 0), ("record", "managed", 3), ("warn", "certManager", 3), ("guard", "managed", 4)]
    {
        let admission = json!({"mode": mode, "namespaceSelector": {"matchLabels": {"team": "shop"}}});
        let all = objects(&json!({"admission": admission, "certificates": {"mode": certificates}})).await?;
        let is_configuration =
            |object: &&Value| object["kind"].as_str().is_some_and(|kind| kind.ends_with("WebhookConfiguration"));
        let configurations: Vec<_> = all.iter().filter(is_configuration).collect();
        let webhooks: Vec<_> =
            configurations.iter().flat_map(|object| object["webhooks"].as_array().into_iter().flatten()).collect();
        assert_eq!(webhooks.len(), number, "{mode}");
        for webhook in webhooks {
            assert_eq!(
                (&webhook["failurePolicy"], &webhook["timeoutSeconds"]),
                (&json!("Ignore"), &json!(1)),
                "{webhook}"
            );
            let client = &webhook["clientConfig"];
            assert!(client["caBundle"].is_null() && client["service"]["path"].is_null(), "{webhook}");
            let out = json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn",
                             "values": ["kube-system", release::NAME]});
            let selector = json!({"matchLabels": {"team": "shop"}, "matchExpressions": [out]});
            assert_eq!(webhook["namespaceSelector"], selector, "{webhook}");
        }
        for configuration in configurations {
            let injected = &configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"];
            assert_eq!(injected.is_string(), certificates == "certManager", "{mode}");
        }
    }
    Ok(())
}
