use hyper::http::{Request, Response};
use kube::client::Body;
use serde_json::json;

use super::*;

fn slice(port: i32, endpoints: serde_json::Value) -> EndpointSlice {
    let slice = json!({
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8081}, {"name": "grpc", "port": port}],
        "endpoints": endpoints,
    });
    serde_json::from_value(slice).unwrap()
}

fn endpoint(pod: &str, ready: Option<bool>) -> serde_json::Value {
    json!({"addresses": ["10.0.0.1"], "conditions": {"ready": ready}, "targetRef": {"kind": "Pod", "name": pod}})
}

#[test]
fn only_ready_pods_count_and_each_once() {
    let four = slice(8080, json!([endpoint("a", Some(true)), endpoint("b", Some(false)), endpoint("c", None)]));
    let six = slice(8080, json!([endpoint("a", Some(true))]));
    let expected = ["a", "c"].map(|pod| PodPort { pod: pod.to_owned(), port: 8080 });
    assert_eq!(ready_pods(&[four, six]), expected);
}

#[test]
fn an_endpoint_without_a_pod_does_not_count() {
    assert!(ready_pods(&[slice(8080, json!([{"addresses": ["10.0.0.1"]}]))]).is_empty());
}

#[test]
fn one_service_is_chosen_and_several_are_listed() {
    let found = |names: &[&str]| names.iter().map(|name| ("ns".to_owned(), (*name).to_owned())).collect::<Vec<_>>();
    assert_eq!(only(found(&["a"]), None).unwrap(), ("ns".to_owned(), "a".to_owned()));
    assert_eq!(only(found(&["a", "b"]), None).unwrap_err().to_string(), "there are several servers: ns/a, ns/b");
    let none = only(found(&[]), Some("tools")).unwrap_err();
    assert!(none.to_string().starts_with("there is no server: no Service in the namespace tools has"), "{none}");
    assert!(none.hint().unwrap().starts_with("install it with its Helm chart"));
}

#[test]
fn pods_that_are_not_ready_are_named_with_their_state() {
    let pods = json!({"metadata": {}, "items": [
        {"metadata": {"name": "a"}, "status": {"phase": "Pending", "containerStatuses": [{
            "name": "m", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}},
        {"metadata": {"name": "b"}, "status": {"phase": "Running"}},
        {"metadata": {"name": "c", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Running"}},
    ]});
    let described = describe_pods(&serde_json::from_value(pods).unwrap());
    assert_eq!(described, "a is ImagePullBackOff, b is Running, c is terminating");
}

#[test]
fn a_wrong_name_and_a_stopped_server_have_commands_that_mend_it() {
    let names = || ("tools".to_owned(), "nosuch".to_owned());
    let (namespace, name) = names();
    let wrong = Error::NoSuchService { namespace, name };
    let (namespace, service) = names();
    let stopped = Error::NoPods { service, namespace };
    for (name, error, parts) in [
        (
            "a wrong name",
            wrong,
            ["may have been uninstalled", "kubectl replicas config unset service.name", "kubectl replicas logout"],
        ),
        (
            "no pods",
            stopped,
            ["kubectl -n tools get deployments", "scale deployment NAME --replicas=2", "describe deployments"],
        ),
    ] {
        let hint = error.hint().unwrap();
        assert!(parts.iter().all(|part| hint.contains(part)), "{name}: {hint}");
    }
}

/// A client whose API server refuses every request.
fn refused_client() -> Client {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 403,
        "reason": "Forbidden", "message": "services is forbidden"});
    let answer = move |_: Request<Body>| {
        let body = Body::from(status.to_string().into_bytes());
        std::future::ready(Response::builder().status(403).body(body))
    };
    Client::new(tower::service_fn(answer), "default")
}

#[tokio::test]
async fn each_refusal_names_the_command_that_grants_the_right_to_connect() {
    let limit = Duration::from_secs(60);
    let named = |namespace: Option<&str>, name: Option<&str>| ServiceRef {
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
    };
    let grant = |role: &str, namespace: &str| {
        format!(
            "an administrator grants it with: kubectl create rolebinding NAME --role={role} --user=USER --namespace \
             {namespace}"
        )
    };
    let default = || grant("replica-count-manager-connect", "replica-count-manager");
    for (name, known, expected) in [
        ("nothing is known", named(None, None), default() + "; if the server is installed elsewhere, name it with "),
        ("the namespace", named(Some("tools"), None), grant("replica-count-manager-connect", "tools")),
        ("the name", named(None, Some("rcm")), grant("rcm-connect", "replica-count-manager")),
        ("both", named(Some("tools"), Some("rcm")), grant("rcm-connect", "tools")),
    ] {
        let error = match Server::find(refused_client(), &known, limit).await {
            Ok(server) => server.ready_pods(limit).await.unwrap_err(),
            Err(error) => error,
        };
        let hint = error.hint().unwrap();
        assert!(hint.starts_with(&expected), "{name}: {hint}");
    }
}
