use std::net::IpAddr;

use kube::{Client, client::Body as ClientBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::mpsc,
    task::JoinHandle,
};

use super::*;
use crate::{
    admission::{fixtures::ReviewBuilder, paths::Secret, review::Endpoint},
    grpc::Authorizer,
    index::fixtures,
    reviews::{AdmissionMode, UserNames},
};

/// The webhooks of a leader, and their secret.
fn webhooks() -> (Arc<Webhooks>, Secret) {
    let nothing = tower::service_fn(async |_: Request<ClientBody>| {
        Ok::<_, tower::BoxError>(Response::new(ClientBody::from(Vec::new())))
    });
    let client = Client::new(nothing, "default");
    let reviewer = Reviewer {
        mode: AdmissionMode::Record,
        users: UserNames::Name,
        max_replicas: 100,
        index: Arc::new(fixtures::index()),
        reviews: Arc::default(),
        attempts: mpsc::channel(1).0,
        authorizer: Authorizer::new(client.clone(), None),
        client,
        account: "rcm".to_owned(),
        exempt_groups: Vec::new(),
        metrics: Arc::default(),
    };
    let (paths, secret) = (Arc::<Paths>::default(), Secret::random().unwrap());
    paths.begin(secret.clone());
    (Arc::new(Webhooks::new(reviewer, paths)), secret)
}

/// Opens a connection.
async fn open(webhooks: &Arc<Webhooks>) -> (DuplexStream, JoinHandle<()>) {
    let (client, server) = duplex(64 * 1024);
    let term = Leadership::sole().begins().await;
    (client, tokio::spawn(connection(webhooks.clone(), term, server, Arc::default())))
}

/// A request that is the last one of its connection, or not.
fn request(path: &str, body: &str, connection: &str) -> String {
    let length = body.len();
    format!(
        "POST {path}?timeout=1s HTTP/1.1\r\nhost: x\r\nconnection: {connection}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// What is answered to a request.
async fn answer_to(webhooks: &Arc<Webhooks>, request: &str) -> String {
    let (mut client, served) = open(webhooks).await;
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    served.await.unwrap();
    answer
}

fn refused(webhooks: &Webhooks) -> u64 {
    webhooks.metrics.admission.connections_refused.get()
}

#[tokio::test]
async fn a_request_with_the_secret_path_is_reviewed() {
    let (webhooks, secret) = webhooks();
    let review = ReviewBuilder::scale(3, 7).build().to_string();
    let path = secret.path(Endpoint::Validate);
    let answer = answer_to(&webhooks, &request(&path, &review, "close")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("application/json") && answer.contains(r#""uid":"r""#), "{answer}");
    let unsized_body =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n");
    assert!(answer_to(&webhooks, &unsized_body).await.starts_with("HTTP/1.1 411 "));
    assert_eq!(refused(&webhooks), 0);
}

#[tokio::test]
async fn a_review_that_is_too_large_is_refused_and_counted() {
    let (webhooks, secret) = webhooks();
    let path = secret.path(Endpoint::Validate);
    let is_counted = |times: u32| {
        let line = format!("replica_count_manager_reviews_total{{verdict=\"refused\"}} {times}\n");
        webhooks.metrics.encode().unwrap().contains(&line)
    };
    assert!(is_counted(0));
    let head = |length: usize| format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    let (mut client, served) = open(&webhooks).await;
    client.write_all(head(9 << 20).as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = client.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 413 "));
    assert!(is_counted(1));
    drop(client);
    served.await.unwrap();
    let (mut client, served) = open(&webhooks).await;
    client.write_all(head(100).as_bytes()).await.unwrap();
    drop(client);
    served.await.unwrap();
    assert!(is_counted(1), "a body that breaks off is not refused");
}

#[tokio::test]
async fn a_request_without_the_secret_path_ends_its_connection_without_an_answer() {
    let (webhooks, secret) = webhooks();
    let path = secret.path(Endpoint::Validate);
    let paths = ["/", "/validate", "/x/validate", &path[..path.len() - 1], &path.to_uppercase()];
    for path in paths {
        assert_eq!(answer_to(&webhooks, &request(path, "{}", "keep-alive")).await, "", "{path}");
    }
    assert_eq!(refused(&webhooks), u64::try_from(paths.len()).unwrap());
    let places = webhooks.proven.clone().try_acquire_many_owned(u32::try_from(MAX_PROVEN).unwrap()).unwrap();
    assert_eq!(answer_to(&webhooks, &request(&path, "{}", "close")).await, "", "too many have shown it");
    drop(places);
    assert!(answer_to(&webhooks, &request(&path, "{}", "close")).await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_has_a_second_to_show_the_secret_path() {
    let (webhooks, secret) = webhooks();
    let (began, (mut silent, served)) = (Instant::now(), open(&webhooks).await);
    silent.write_all(b"POST /").await.unwrap();
    served.await.unwrap();
    assert_eq!((began.elapsed(), refused(&webhooks)), (PROOF_TIME, 1));

    let (mut client, served) = open(&webhooks).await;
    let request = request(&secret.path(Endpoint::Mutate), "{}", "keep-alive");
    for _ in 0..3 {
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let length = client.read(&mut answer).await.unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200 OK\r\n"));
        sleep(2 * PROOF_TIME).await;
    }
    let began = Instant::now();
    served.await.unwrap();
    assert!(began.elapsed() > IDLE_TIME - 3 * PROOF_TIME, "it stays open between reviews");
    assert_eq!((refused(&webhooks), webhooks.proven.available_permits()), (1, MAX_PROVEN));
}

#[test]
fn connections_without_a_proof_make_room_for_others() {
    let (places, mut connections) = (Arc::new(Semaphore::new(1)), Connections::default());
    let [flood, api_server] = [1, 2].map(|host| IpAddr::from([10, 0, 0, host]));
    let add = |connections: &mut Connections, peer, has_proof: bool| {
        let (_, end) = abortable(pending::<()>());
        let proof = Arc::<Proof>::default();
        assert_eq!(has_proof && proof.give(&places), has_proof);
        connections.unproven.add(peer, (proof, end.clone()));
        end
    };
    let mut ends = vec![add(&mut connections, flood, true)];
    let honest = add(&mut connections, api_server, false);
    while connections.unproven.len() < MAX_UNPROVEN {
        ends.push(add(&mut connections, flood, false));
    }
    assert_eq!(connections.make_room(), 0, "the oldest has a proof, and so it is none of them");
    assert_eq!(connections.unproven.len(), MAX_UNPROVEN - 1);
    ends.push(add(&mut connections, flood, false));
    assert_eq!(connections.make_room(), 1);
    let ended: Vec<_> = ends.iter().map(AbortHandle::is_aborted).collect();
    assert_eq!(ended.iter().filter(|ended| **ended).count(), 1);
    assert!(ended[1] && !honest.is_aborted(), "the oldest of the address that has the most");
}
