use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
};

use futures::{FutureExt, StreamExt};
use proptest::{collection::vec, prelude::*};
use tokio::{
    task::yield_now,
    time::{advance, timeout},
};
use tonic::Code;

use super::*;
use crate::{
    grpc::fixtures::{Answering, ApiServer, user},
    index::{Index, fixtures},
};

/// More targets than one page of the index holds.
const TARGETS: usize = 600;

type Events = Pin<Box<dyn Stream<Item = Result<Response, Status>>>>;

fn name(number: usize) -> String {
    format!("target-{number:04}")
}

/// An index of targets whose lasting count is 0.
fn index() -> Index {
    let index = fixtures::index();
    (0..TARGETS).for_each(|number| fixtures::set_replica_count(&index, &name(number), Some(0)));
    index
}

async fn start(backend: &Backend) -> Events {
    let request = WatchReplicaCountsRequest { namespace: "shop".into(), ..Default::default() };
    Box::pin(watch(backend, user("alice"), request).await.unwrap())
}

/// Lets the task of a watch run until it waits.
async fn let_run() {
    for _ in 0..50 {
        yield_now().await;
    }
}

/// What a client has received of each target: its lasting count, or `None` once it is removed.
#[derive(Default)]
struct Client {
    received: HashMap<String, Vec<Option<i32>>>,
    syncs: usize,
}

impl Client {
    fn receive(&mut self, response: Result<Response, Status>) {
        match response.unwrap().event.unwrap() {
            Event::Synced(_) => self.syncs += 1,
            Event::Changed(count) => self.note(count.target.unwrap().name, count.replicas),
            Event::Removed(target) => self.note(target.name, None),
        }
    }

    fn note(&mut self, name: String, replicas: Option<i32>) {
        self.received.entry(name).or_default().push(replicas);
    }
}

/// One step: the target that changes, whether it is removed, and how many messages the client then reads.
type Step = (usize, bool, usize);

async fn check_that_nothing_is_lost_or_reordered(steps: Vec<Step>) {
    let backend = ApiServer::new().backend(index());
    let mut events = start(&backend).await;
    let mut client = Client::default();
    let mut states: BTreeMap<String, Vec<Option<i32>>> = (0..TARGETS).map(|it| (name(it), vec![Some(0)])).collect();
    for ((target, is_removed, reads), count) in steps.into_iter().zip(1..) {
        let target = name(target);
        let replicas = (!is_removed).then_some(count);
        fixtures::set_replica_count(&backend.index, &target, replicas);
        let states = states.get_mut(&target).unwrap();
        if states.last() != Some(&replicas) {
            states.push(replicas);
        }
        for _ in 0..reads {
            let_run().await;
            let Some(response) = events.next().now_or_never() else { break };
            client.receive(response.unwrap());
        }
    }
    fixtures::set_replica_count(&backend.index, "last", Some(1));
    while !client.received.contains_key("last") || client.syncs == 0 {
        client.receive(timeout(Duration::from_secs(10), events.next()).await.unwrap().unwrap());
    }
    assert_eq!(client.syncs, 1);
    for (name, states) in states {
        let received = client.received.remove(&name).unwrap_or_default();
        // The snapshot begins with some state; from there on, the client has each state once and in order.
        assert!(states.ends_with(&received), "{name}: {states:?}, and the client has {received:?}");
        assert!(!received.is_empty() || states.last() == Some(&None), "{name} is missing: {states:?}");
        assert_ne!(received.first(), Some(&None), "{name} is removed before it was there");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_watch_loses_and_reorders_nothing_while_its_snapshot_is_read_in_pages(
        steps in vec((0..TARGETS, any::<bool>(), 0_usize..12), 1..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check_that_nothing_is_lost_or_reordered(steps));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_of_the_snapshot_is_ended() {
    let backend = ApiServer::new().backend(index());
    let mut events = start(&backend).await;
    let_run().await;
    advance(STALLED + Duration::from_secs(1)).await;
    let_run().await;
    let mut rest = 0;
    let end = loop {
        match events.next().now_or_never().unwrap().unwrap() {
            Ok(_) => rest += 1,
            Err(end) => break end,
        }
    };
    assert_eq!((end.code(), rest), (Code::Aborted, MAX_UNREAD));
    assert!(events.next().await.is_none(), "an error is the last message");
}

#[tokio::test(start_paused = true)]
async fn an_open_watch_ends_when_its_right_does() {
    struct Row {
        name: &'static str,
        answering: Answering,
        /// The status, and the bounds of the time until it comes, in seconds; `None` if the watch goes on.
        end: Option<(Code, u64, u64)>,
    }
    for Row { name, answering, end } in [
        Row { name: "allowed", answering: Answering::Allow, end: None },
        Row { name: "revoked", answering: Answering::Deny, end: Some((Code::PermissionDenied, 0, 10)) },
        Row { name: "reviews refused", answering: Answering::Fail(403), end: Some((Code::Internal, 0, 10)) },
        Row { name: "API server failing", answering: Answering::Fail(500), end: Some((Code::Unavailable, 60, 70)) },
        Row { name: "API server busy", answering: Answering::Fail(429), end: Some((Code::Unavailable, 60, 70)) },
        Row { name: "API server silent", answering: Answering::Hang, end: Some((Code::Unavailable, 60, 70)) },
    ] {
        let api_server = ApiServer::new();
        let backend = api_server.backend(fixtures::index());
        let mut events = start(&backend).await;
        events.next().await.unwrap().unwrap();
        events.next().await.unwrap().unwrap();
        *api_server.answering.lock() = answering;
        let begun = Instant::now();
        let ended = timeout(Duration::from_secs(300), events.next()).await.ok().flatten();
        let after = begun.elapsed().as_secs();
        match (end, ended) {
            (None, None) => {}
            (Some((code, least, most)), Some(Err(status))) => {
                assert_eq!(status.code(), code, "{name}: {status}");
                assert!((least..=most).contains(&after), "{name}: after {after} s");
            }
            (end, ended) => panic!("{name}: expected {end:?}, got {ended:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_of_the_api_server_ends_no_watch() {
    let api_server = ApiServer::new();
    let backend = api_server.backend(fixtures::index());
    let mut events = start(&backend).await;
    for _ in 0..2 {
        events.next().await.unwrap().unwrap();
    }
    for answering in [Answering::Fail(503), Answering::Allow, Answering::Fail(503), Answering::Allow] {
        *api_server.answering.lock() = answering;
        assert!(timeout(Duration::from_secs(40), events.next()).await.is_err(), "{answering:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_count_comes_with_the_version_of_its_target_which_alone_is_no_event() {
    let backend = ApiServer::new().backend(fixtures::index());
    let mut events = start(&backend).await;
    for _ in 0..2 {
        events.next().await.unwrap().unwrap();
    }
    for (version, replicas, expected) in [(8, 3, None), (9, 4, Some("9")), (10, 4, None), (11, 3, Some("11"))] {
        fixtures::set_target(&backend.index, "web", version, replicas);
        let event = timeout(Duration::from_secs(1), events.next()).await.ok();
        let event = event.map(|event| event.unwrap().unwrap().event.unwrap());
        let seen = event.map(|event| match event {
            Event::Changed(count) => (count.observed, count.target_resource_version),
            other => panic!("{other:?}"),
        });
        assert_eq!(seen, expected.map(|expected| (Some(replicas), expected.to_owned())), "{version}");
    }
}
