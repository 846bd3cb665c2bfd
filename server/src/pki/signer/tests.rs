use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures::stream;
use http_body_util::StreamBody;
use hyper::{
    Request, Response,
    body::{Bytes, Frame},
};
use kube::client::Body;

use super::*;
use crate::{
    pki::{NotBefore, managed::ManagedArgs},
    runtime::pod::PodArgs,
};

#[tokio::test(start_paused = true)]
async fn a_list_that_never_ends_is_asked_for_again() {
    let lists = Arc::<AtomicUsize>::default();
    let seen = lists.clone();
    let answer = tower::service_fn(move |_: Request<Body>| {
        seen.fetch_add(1, Ordering::Relaxed);
        let endless = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        async move { Ok::<_, tower::BoxError>(Response::new(endless)) }
    });
    let client = Client::new(answer, "rcm");
    let pod = PodArgs { pod_namespace: "rcm".to_owned(), ..PodArgs::default() };
    let managed = ManagedArgs { ca_secret: "ca".to_owned(), check_secret: String::new(), server_names: Vec::new() };
    let managed = ManagedCertificates::new(&client, managed, &pod, Arc::new(NotBefore::new(None))).unwrap();
    let args = SignerArgs { sign_clients: true, approve_clients: true, client_hours: 24 };
    let signer = Signer::new(client, Arc::new(managed), args);
    assert!(timeout(2 * QUIET + Duration::from_secs(1), signer.run()).await.is_err(), "it never ends");
    assert_eq!(lists.load(Ordering::Relaxed), 3);
}
