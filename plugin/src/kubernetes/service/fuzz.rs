//! The server's endpoints and pods, as the API server lists them.

use k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice};
use kube::core::ObjectList;
use serde_json::json;

use super::{describe_pods, ready_pods};

#[test]
fn no_endpoints_make_the_plugin_panic() {
    let endpoint = json!({"addresses": ["10.0.0.1"], "conditions": {"ready": true},
                          "targetRef": {"kind": "Pod", "name": "a"}});
    let seed = json!([{"addressType": "IPv4", "ports": [{"name": "grpc", "port": 8080}], "endpoints": [endpoint]}]);
    fuzz::target("EndpointSlices").seeds([seed.to_string()]).words(["null", "\"port\":65536,"]).bytes(|input| {
        let Ok(slices) = serde_json::from_slice::<Vec<EndpointSlice>>(input) else { return false };
        let _ = ready_pods(&slices);
        true
    });
}

#[test]
fn no_pods_make_the_plugin_panic() {
    let container = json!({"name": "main", "image": "x", "imageID": "", "ready": false, "restartCount": 1,
                           "state": {"waiting": {"reason": "ImagePullBackOff"}}});
    let pod = json!({"metadata": {"name": "a"}, "status": {"phase": "Pending", "containerStatuses": [container]}});
    let seed = json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [pod]});
    fuzz::target("Pods").seeds([seed.to_string()]).words(["null", "[]"]).bytes(|input| {
        let Ok(pods) = serde_json::from_slice::<ObjectList<Pod>>(input) else { return false };
        !describe_pods(&pods).is_empty()
    });
}
