//! Mutations of the API server's answers.

use hyper::body::Bytes;
use kube::core::{ObjectList, WatchEvent};

use super::{
    envelope::{Bookmark, List, Status},
    json::{event_to_json, object_or_list_to_json},
    tests::{deployment, event, wrapped},
};
use crate::resources::Target;

#[test]
fn no_event_makes_the_translation_panic() {
    let seeds = [
        event("ADDED", wrapped("Deployment", &deployment())),
        event("MODIFIED", wrapped("StatefulSet", &deployment())),
        event("BOOKMARK", wrapped("Deployment", &Bookmark::default())),
        event("ERROR", wrapped("Status", &Status { code: 410, ..Status::default() })),
    ];
    fuzz::target("protobuf of a watch").seeds(seeds).words(["k8s\0", "Deployment", "Status"]).bytes(|input| {
        let Ok(json) = event_to_json(Bytes::copy_from_slice(input)) else { return false };
        let _ = serde_json::from_str::<WatchEvent<Target>>(&json);
        true
    });
}

#[test]
fn no_list_makes_the_translation_panic() {
    let list = List { metadata: None, items: vec![prost::Message::encode_to_vec(&deployment()).into()] };
    let seeds = [wrapped("DeploymentList", &list), wrapped("Status", &Status::default())];
    fuzz::target("protobuf of a list").seeds(seeds).words(["k8s\0", "StatefulSetList"]).bytes(|input| {
        let Ok(json) = object_or_list_to_json(Bytes::copy_from_slice(input)) else { return false };
        let _ = serde_json::from_str::<ObjectList<Target>>(&json);
        true
    });
}
