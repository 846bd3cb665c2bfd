//! How the chart serves the metrics behind TLS, and how Prometheus asks for them.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use support::{
    chart::{objects, of_kind, one, server_role},
    release::NAME,
};

/// The port by its name, of a Service or of a container.
fn port<'a>(ports: &'a Value, name: &str) -> Result<&'a Value> {
    let mut ports = ports.as_array().into_iter().flatten();
    ports.find(|port| port["name"] == name).with_context(|| format!("there is no port {name}"))
}

#[tokio::test]
async fn a_service_monitor_shows_its_own_token_to_the_server_that_its_ca_knows() -> Result<()> {
    let token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    for (mode, secret, ca) in [
        ("managed", "", json!({"configMap": {"name": format!("other-{NAME}-ca"), "key": "ca.crt"}})),
        ("certManager", "", json!({"secret": {"name": format!("other-{NAME}-tls"), "key": "ca.crt"}})),
        ("existingSecret", "x", json!({"secret": {"name": "x", "key": "ca.crt"}})),
    ] {
        let certificates = json!({"mode": mode, "existingSecret": secret});
        let values =
            json!({"metrics": {"secure": true}, "serviceMonitor": {"enabled": true}, "certificates": certificates});
        let all = objects(&values).await?;
        let tls = json!({"serverName": format!("other-{NAME}.{NAME}.svc"), "ca": ca});
        let expected = json!([{"port": "https-metrics", "path": "/metrics", "scheme": "https", "bearerTokenFile": token,
                               "tlsConfig": tls}]);
        assert_eq!(one(&all, "ServiceMonitor")?["spec"]["endpoints"], expected, "{mode}");
    }
    Ok(())
}

#[tokio::test]
async fn a_pod_monitor_shows_the_token_of_a_secret() -> Result<()> {
    let (authorization, tls) = (json!({"credentials": {"name": "token", "key": "token"}}), json!({"serverName": "x"}));
    let metrics = json!({"secure": true, "authorization": authorization, "tlsConfig": tls});
    let all = objects(&json!({"metrics": metrics, "podMonitor": {"enabled": true}})).await?;
    let expected = json!([{"port": "https-metrics", "path": "/metrics", "scheme": "https", "authorization": authorization,
                           "tlsConfig": tls}]);
    assert_eq!(one(&all, "PodMonitor")?["spec"]["podMetricsEndpoints"], expected);
    Ok(())
}

#[tokio::test]
async fn the_metrics_have_a_port_and_a_role_of_their_own_and_the_server_may_review_tokens() -> Result<()> {
    let policy = json!({"enabled": true, "metricsFrom": [{"podSelector": {}}]});
    for (is_secure, name, number) in [(false, "http", 8081), (true, "https-metrics", 8082)] {
        let values = json!({"metrics": {"secure": is_secure}, "networkPolicy": policy});
        let all = objects(&values).await?;
        assert_eq!(port(&one(&all, "Service")?["spec"]["ports"], name)?["targetPort"], name);
        let container = &one(&all, "Deployment")?["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(port(&container["ports"], name)?["containerPort"], number);
        assert_eq!(port(&container["ports"], "http")?["containerPort"], 8081, "the probes keep theirs");
        assert_eq!(one(&all, "NetworkPolicy")?["spec"]["ingress"][1]["ports"], json!([{"port": number}]));
        assert_eq!(server_role(&all)?["rules"].to_string().contains("tokenreviews"), is_secure);
        let reader = format!("{NAME}-other-{NAME}-metrics-reader");
        let reader = of_kind(&all, "ClusterRole").find(|role| role["metadata"]["name"] == *reader);
        let rules = json!([{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]);
        assert_eq!(reader.map(|role| &role["rules"]), is_secure.then_some(&rules));
    }
    Ok(())
}
