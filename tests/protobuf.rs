//! The server reads the same from the API server's protobuf as from its JSON.

use anyhow::{Context, Result, bail, ensure};
use cluster::wait;
use futures::TryStreamExt;
use hyper::{
    Request,
    header::{ACCEPT, CONTENT_TYPE},
};
use kube::{
    Api, Client, Error,
    api::{ListParams, WatchParams},
    client::Body,
    core::{Status, WatchEvent},
};
use replica_count_manager::{
    index::protobuf,
    resources::{Target, TargetKind, TargetState},
};

use support::{Namespace, PATIENCE};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// The same API in JSON and in protobuf.
fn both(client: &Client, shop: &Namespace<'_>, kind: &TargetKind) -> [Api<Target>; 2] {
    [client.clone(), protobuf::client(client.clone())].map(|client| Api::namespaced_with(client, &shop.name, kind))
}

/// The states of a list's objects.
async fn listed(api: &Api<Target>) -> Result<Vec<TargetState>> {
    Ok(api.list(&ListParams::default()).await?.items.into_iter().map(|target| target.state).collect())
}

/// The state of the first object of a watch that starts with the existing objects.
async fn watched(api: &Api<Target>) -> Result<TargetState> {
    let mut events = Box::pin(api.watch(&WatchParams::default(), "0").await?);
    match events.try_next().await?.context("the watch has ended")? {
        WatchEvent::Added(target) => Ok(target.state),
        event => bail!("the first event is {event:?}"),
    }
}

fn refusal<T>(answer: Result<T, Error>) -> Result<Box<Status>> {
    match answer {
        Err(Error::Api(status)) => Ok(status),
        Err(error) => bail!("it failed otherwise: {error}"),
        Ok(_) => bail!("it is not refused"),
    }
}

#[tokio::test]
async fn every_kind_reads_the_same_in_both_formats() -> Result<()> {
    let shop = Namespace::shared("formats").await?;
    shop.deployment("web", 2).await?;
    shop.stateful_set("store", 3).await?;
    let client = shop.cluster.control_plane.client().await?;
    for (kind, ready) in TargetKind::apps().iter().zip([2, 3, 2]) {
        let [json, protobuf] = both(&client, &shop, kind);
        wait::until(&format!("the same {kind:?} in both"), PATIENCE, async || {
            let states = listed(&json).await?;
            ensure!(states.len() == 1 && states[0].ready == Some(ready), "there are {states:?}");
            let (again, first) = (listed(&protobuf).await?, watched(&protobuf).await?);
            ensure!(states == again, "in protobuf they are {again:?} instead of {states:?}");
            ensure!(states[0] == first, "a watch says {first:?} instead of {:?}", states[0]);
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_deleting_object_with_several_owners_reads_the_same_in_both_formats() -> Result<()> {
    let shop = Namespace::shared("formats").await?;
    shop.deployment("web", 2).await?;
    let patch = r#"--patch={"metadata": {"labels": {"tier": "front"}, "finalizers": ["example.com/hold"]}}"#;
    shop.kubectl(&["patch", "deployment/web", patch]).await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=1"]).await?;
    shop.kubectl(&["delete", "deployment/web", "--wait=false"]).await?;
    let [json, protobuf] = both(&shop.cluster.control_plane.client().await?, &shop, &TargetKind::apps()[0]);
    let same = wait::until("the same in both", PATIENCE, async || {
        let (one, other) = (listed(&json).await?, listed(&protobuf).await?);
        ensure!(one == other, "in protobuf they are {other:?} instead of {one:?}");
        let owner = one.first().and_then(|state| state.owners.last()).context("the count has no owner")?;
        ensure!(one[0].deleting && owner.scale && one[0].labels.get("tier") == Some("front"), "it is {one:?}");
        Ok(())
    })
    .await;
    // Remove the finalizer even if the test failed: otherwise the namespace could not be deleted.
    shop.kubectl(&["patch", "deployment/web", r#"--patch={"metadata": {"finalizers": null}}"#]).await?;
    same
}

/// The API server does not validate the text of an ownerReference that a client writes in protobuf.
#[tokio::test]
async fn an_object_with_invalid_utf_8_reads_the_same_in_both_formats() -> Result<()> {
    let shop = Namespace::shared("formats").await?;
    shop.deployment("web", 2).await?;
    let owner =
        r#"{"apiVersion": "example.com/v1", "kind": "App", "name": "an-owner", "uid": "1", "controller": true}"#;
    let patch = format!(r#"--patch={{"metadata": {{"ownerReferences": [{owner}]}}}}"#);
    shop.kubectl(&["patch", "deployment/web", &patch]).await?;
    let client = shop.cluster.control_plane.client().await?;
    wait::until("the owner with another name", PATIENCE, async || {
        let path = format!("/apis/apps/v1/namespaces/{}/deployments/web", shop.name);
        let get = Request::get(&path).header(ACCEPT, PROTOBUF).body(Body::empty())?;
        let stored = client.send(get).await?.into_body().collect_bytes().await?;
        let changed = replaced(&stored, b"an-owner", b"an\xffowner");
        let put = Request::put(&path).header(CONTENT_TYPE, PROTOBUF).body(Body::from(changed))?;
        let status = client.send(put).await?.status();
        ensure!(status.is_success(), "the API server answers {status}");
        Ok(())
    })
    .await?;
    let [json, protobuf] = both(&client, &shop, &TargetKind::apps()[0]);
    wait::until("the same in both", PATIENCE, async || {
        let (one, other, first) = (listed(&json).await?, listed(&protobuf).await?, watched(&protobuf).await?);
        ensure!(one == other && one[0] == first, "in protobuf they are {other:?} and {first:?} instead of {one:?}");
        let controller = one[0].controller.as_deref().context("it has no controller")?;
        ensure!(controller.contains('\u{fffd}'), "it is {controller}");
        Ok(())
    })
    .await
}

/// Replaces bytes by others of the same length.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let found: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    for at in found {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

#[tokio::test]
async fn an_api_error_reads_the_same_in_both_formats() -> Result<()> {
    let shop = Namespace::shared("formats").await?;
    let apis = both(&shop.cluster.control_plane.client().await?, &shop, &TargetKind::apps()[0]);
    let mut refusals = Vec::new();
    for api in apis {
        let continued = ListParams { continue_token: Some("no-token".to_owned()), ..ListParams::default() };
        let watch = api.watch(&WatchParams::default(), "no-version").await.map(drop);
        refusals
            .push([refusal(api.list(&continued).await)?, refusal(watch)?].map(|status| (status.code, status.message)));
    }
    ensure!(refusals[0] == refusals[1] && refusals[0][0].0 == 400, "they are {refusals:?}");
    Ok(())
}
