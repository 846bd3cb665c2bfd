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
    ]});
    assert_eq!(describe_pods(&serde_json::from_value(pods).unwrap()), "a is ImagePullBackOff, b is Running");
}

#[test]
fn a_wrong_name_and_a_stopped_server_have_commands_that_mend_it() {
    let names = || ("tools".to_owned(), "nosuch".to_owned());
    let (namespace, name) = names();
    let wrong = Error::NoSuchService { namespace, name };
    let (namespace, service) = names();
    let stopped = Error::NoPods { service, namespace };
    for (name, error, parts) in [
        ("a wrong name", wrong, ["kubectl replicas config unset service.name", "kubectl replicas logout"]),
        ("no pods", stopped, ["kubectl -n tools get deployments", "scale deployment NAME --replicas=2"]),
    ] {
        let hint = error.hint().unwrap();
        assert!(parts.iter().all(|part| hint.contains(part)), "{name}: {hint}");
    }
}
