//! Resolves the addresses of Services to pods, because this machine has neither cluster DNS nor kube-proxy.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::context::Context;
use super::rewrite::split_flag;

/// An address of the form `<service>.<namespace>.svc:<port>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Address<'a> {
    service: &'a str,
    namespace: &'a str,
    port: i32,
}

impl<'a> Address<'a> {
    fn parse(value: &'a str) -> Option<Self> {
        let (host, port) = value.rsplit_once(':')?;
        let (service, namespace) = host.strip_suffix(".svc")?.split_once('.')?;
        let label = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        (label(service) && label(namespace)).then_some(Self { service, namespace, port: port.parse().ok()? })
    }
}

/// Finds a pod for each address of a Service in the words of a command line and the values of variables. Addresses
/// without a ready pod are left out: the caller's connection fails, as in a cluster.
pub(super) async fn addresses(
    context: &Context,
    words: impl Iterator<Item = &String>,
) -> Result<BTreeMap<String, SocketAddr>> {
    let mut found = BTreeMap::new();
    for value in words.map(|word| split_flag(word).1) {
        let Some(address) = Address::parse(value) else { continue };
        match resolve(context, address).await.with_context(|| format!("failed to look up {value}"))? {
            Some(pod) => drop(found.insert(value.to_owned(), pod)),
            None => context.log(&format!("{value} leads to no ready pod that is run")),
        }
    }
    Ok(found)
}

async fn resolve(context: &Context, address: Address<'_>) -> Result<Option<SocketAddr>> {
    let services: Api<Service> = Api::namespaced(context.client.clone(), address.namespace);
    let service = services.get_opt(address.service).await?;
    let Some((selector, port)) = service.as_ref().and_then(|service| destination(service, address.port)) else {
        return Ok(None);
    };
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), address.namespace);
    let pods = pods.list(&ListParams::default().labels(&selector)).await?;
    let registry = context.registry.lock();
    let mut entries = pods
        .iter()
        .filter(|pod| is_ready(pod))
        .filter_map(|pod| registry.get(&(address.namespace.to_owned(), pod.name_any())));
    Ok(entries.find_map(|entry| entry.ports.get(&port).copied()))
}

/// The label selector of the pods behind a port of a Service, and the name or number of their port.
fn destination(service: &Service, port: i32) -> Option<(String, String)> {
    let spec = service.spec.as_ref()?;
    let port = spec.ports.iter().flatten().find(|candidate| candidate.port == port)?;
    let port = match &port.target_port {
        Some(IntOrString::Int(number)) => number.to_string(),
        Some(IntOrString::String(name)) => name.clone(),
        None => port.port.to_string(),
    };
    // The endpoints of a Service without a selector do not come from pods.
    let selector = spec.selector.as_ref().filter(|selector| !selector.is_empty())?;
    let labels: Vec<_> = selector.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Some((labels.join(","), port))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_full_address_of_a_service_is_parsed() {
        let address = Address { service: "web", namespace: "shop", port: 8080 };
        assert_eq!(Address::parse("web.shop.svc:8080"), Some(address));
        for value in [
            "web.shop.svc",
            "web.shop:8080",
            "web.svc:8080",
            ".shop.svc:8080",
            "web.shop.svc:grpc",
            "a.web.shop.svc:8080",
            "https://web.shop.svc:8080",
            "[::]:8080",
        ] {
            assert_eq!(Address::parse(value), None, "{value}");
        }
    }

    #[test]
    fn a_service_port_resolves_to_the_target_port_of_the_selected_pods() -> Result<()> {
        let service: Service = serde_json::from_value(json!({"spec": {
            "selector": {"app": "web", "tier": "front"},
            "ports": [{"port": 80, "targetPort": "grpc"}, {"port": 81, "targetPort": 8081}, {"port": 82}],
        }}))?;
        for (port, expected) in [(80, Some("grpc")), (81, Some("8081")), (82, Some("82")), (83, None)] {
            let expected = expected.map(|target| ("app=web,tier=front".to_owned(), target.to_owned()));
            assert_eq!(destination(&service, port), expected, "{port}");
        }
        let headless: Service = serde_json::from_value(json!({"spec": {"ports": [{"port": 80}]}}))?;
        assert_eq!(destination(&headless, 80), None);
        Ok(())
    }

    #[test]
    fn a_terminating_pod_is_not_ready() -> Result<()> {
        let pod = |metadata, status: &str| -> Result<Pod> {
            let conditions = json!([{"type": "Ready", "status": status}]);
            Ok(serde_json::from_value(json!({"metadata": metadata, "status": {"conditions": conditions}}))?)
        };
        assert!(is_ready(&pod(json!({}), "True")?));
        assert!(!is_ready(&pod(json!({}), "False")?));
        assert!(!is_ready(&pod(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}), "True")?));
        Ok(())
    }
}
