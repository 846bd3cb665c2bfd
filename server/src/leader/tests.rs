mod fake;

use std::{future::pending, sync::Arc};

use proptest::prelude::*;
use serde_json::json;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{advance, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use self::fake::{Fake, Way};
use super::*;
use crate::{runtime::pod::PodArgs, telemetry::Metrics};

/// More than an event, a read and a write take.
const AT_ONCE: Duration = Duration::from_millis(100);

/// The longest pause between two attempts to get the Lease.
const LONGEST_RETRY: Duration = Duration::from_millis(4_400);

/// One replica.
struct Replica {
    way: watch::Sender<Way>,
    leadership: Leadership,
    stop: CancellationToken,
    metrics: Arc<Metrics>,
    elector: JoinHandle<()>,
}

impl Replica {
    fn start(fake: &Fake, name: &str) -> Self {
        let way = watch::Sender::new(Way::OPEN);
        let args = LeaseArgs { lease: "leader".to_owned() };
        let (pod_name, pod_namespace) = (name.to_owned(), "here".to_owned());
        let pod = PodArgs { pod_name, pod_namespace, ..PodArgs::default() };
        let metrics = Arc::<Metrics>::default();
        let client = fake.client(way.subscribe());
        let (elector, leadership) = Elector::new(client, &args, &pod, metrics.clone()).unwrap();
        let stop = CancellationToken::new();
        let elector = tokio::spawn(elector.run(stop.clone()));
        Self { way, leadership, stop, metrics, elector }
    }

    async fn leads(&self, within: Duration) -> Option<Term> {
        timeout(within, self.leadership.clone().begins()).await.ok()
    }

    fn is_leading(&self) -> bool {
        self.leadership.state.borrow().is_some_and(|holding| holding.is_valid())
    }
}

/// The leader among replicas that all want to be.
async fn leader(replicas: &[Replica], within: Duration) -> Option<(usize, Term)> {
    let all = replicas.iter().enumerate().map(|(index, replica)| {
        let mut leadership = replica.leadership.clone();
        Box::pin(async move { (index, leadership.begins().await) })
    });
    timeout(within, futures::future::select_all(all)).await.ok().map(|(first, _, _)| first)
}

fn spec(fake: &Fake) -> k8s_openapi::api::coordination::v1::LeaseSpec {
    fake.lease().and_then(|lease| lease.spec).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_missing_lease_is_made_and_renewed_as_others_expect() {
    let fake = Fake::default();
    let replica = Replica::start(&fake, "one");
    replica.leads(AT_ONCE).await.unwrap();
    let made = spec(&fake);
    assert!(made.holder_identity.as_ref().unwrap().starts_with("one_"), "{made:?}");
    assert_eq!((made.lease_duration_seconds, made.lease_transitions), (Some(15), Some(0)));
    assert!(made.acquire_time.is_some() && made.acquire_time == made.renew_time, "{made:?}");
    sleep(LEASE_DURATION * 4).await;
    let renewed = spec(&fake);
    assert_eq!((renewed.acquire_time, renewed.lease_transitions), (made.acquire_time, Some(0)));
    assert!(renewed.renew_time > made.renew_time);
    assert!(replica.is_leading());
}

#[tokio::test(start_paused = true)]
async fn of_replicas_that_start_at_once_one_leads() {
    for taken in [false, true] {
        let fake = Fake::default();
        if taken {
            fake.store(json!({"holderIdentity": "", "leaseDurationSeconds": 1, "leaseTransitions": 6}));
        }
        let replicas = ["one", "two", "three"].map(|name| Replica::start(&fake, name));
        leader(&replicas, AT_ONCE).await.unwrap();
        sleep(LEASE_DURATION * 2).await;
        assert_eq!(replicas.iter().filter(|replica| replica.is_leading()).count(), 1);
        assert_eq!(spec(&fake).lease_transitions, Some(if taken { 7 } else { 0 }));
        let losers = replicas.iter().filter(|replica| replica.metrics.leader.get() == 0);
        assert_eq!(losers.count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_is_gone_is_replaced_after_the_whole_time_whatever_it_wrote() {
    for (time, seconds) in
        [("2000-01-01T00:00:00.000000Z", 15), ("2100-01-01T00:00:00.000000Z", 15), ("2000-01-01T00:00:00.000000Z", 1)]
    {
        let fake = Fake::default();
        fake.store(json!({"holderIdentity": "gone", "leaseDurationSeconds": seconds, "renewTime": time}));
        let start = Instant::now();
        let replica = Replica::start(&fake, "one");
        replica.leads(LEASE_DURATION + AT_ONCE).await.unwrap();
        assert!(start.elapsed() >= LEASE_DURATION, "{time} {seconds}: {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_record_is_a_sign_of_life_and_a_label_is_none() {
    let fake = Fake::default();
    let write = |renewed: u32, label: u32| {
        fake.store(json!({"holderIdentity": "other", "leaseDurationSeconds": 15, "leaseTransitions": renewed,
            "strategy": null, "preferredHolder": null, "renewTime": null, "acquireTime": null}));
        let mut lease = serde_json::to_value(fake.lease()).unwrap();
        lease["metadata"]["labels"] = json!({"label": label.to_string()});
        fake.relabel(lease);
    };
    write(1, 1);
    let replica = Replica::start(&fake, "one");
    assert!(replica.leads(Duration::from_secs(10)).await.is_none());
    write(2, 1);
    assert!(replica.leads(Duration::from_secs(10)).await.is_none());
    write(2, 2);
    replica.leads(Duration::from_secs(5) + AT_ONCE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_cannot_renew_stops_in_time_and_another_follows() {
    for way in [Way::Refuses(500), Way::Refuses(403), Way::Swallows, Way::Mute, slow(7)] {
        let fake = Fake::default();
        let first = Replica::start(&fake, "one");
        let term = first.leads(AT_ONCE).await.unwrap();
        let second = Replica::start(&fake, "two");
        sleep(RETRY * 3 - Duration::from_millis(1)).await;
        first.way.send_replace(way);
        let cut = Instant::now();
        term.ends().await;
        assert!(cut.elapsed() <= RENEW_DEADLINE, "{way:?}: {:?}", cut.elapsed());
        assert!(!second.is_leading(), "{way:?}");
        // What is swallowed, refused or late has renewed nothing; what was only not answered has.
        let longest = LEASE_DURATION + if matches!(way, Way::Mute | Way::Takes(..)) { LEASE_DURATION } else { RETRY };
        second.leads(longest - cut.elapsed()).await.unwrap_or_else(|| panic!("{way:?}: nobody follows"));
        assert!(!first.is_leading() && first.metrics.lease_failures.get() > 0, "{way:?}");
    }
}

fn slow(seconds: u64) -> Way {
    Way::Takes(Duration::ZERO, Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn slow_answers_alone_cost_no_term() {
    let fake = Fake::default();
    let replica = Replica::start(&fake, "one");
    let term = replica.leads(AT_ONCE).await.unwrap();
    replica.way.send_replace(slow(4));
    sleep(LEASE_DURATION * 10).await;
    assert!(term.holds());
}

#[tokio::test(start_paused = true)]
async fn a_term_lasts_from_when_its_renewal_was_sent() {
    let fake = Fake::default();
    let replica = Replica::start(&fake, "one");
    let term = replica.leads(AT_ONCE).await.unwrap();
    replica.way.send_replace(slow(4));
    // Sent after 2 s, answered 4 s later.
    sleep(RETRY + Duration::from_millis(100)).await;
    let sent = Instant::now();
    replica.way.send_replace(Way::Swallows);
    term.ends().await;
    assert!(sent.elapsed() <= RENEW_DEADLINE && sent.elapsed() > RENEW_DEADLINE - AT_ONCE * 2, "{:?}", sent.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_was_refused_leads_once_it_is_not() {
    let fake = Fake::default();
    let replica = Replica::start(&fake, "one");
    replica.way.send_replace(Way::Refuses(403));
    assert!(replica.leads(LEASE_DURATION).await.is_none());
    assert!(replica.metrics.lease_failures.get() > 2);
    replica.way.send_replace(Way::OPEN);
    replica.leads(LONGEST_RETRY + AT_ONCE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_stops_hands_over_at_once() {
    let fake = Fake::default();
    let first = Replica::start(&fake, "one");
    let term = first.leads(AT_ONCE).await.unwrap();
    let second = Replica::start(&fake, "two");
    sleep(LEASE_DURATION).await;
    first.stop.cancel();
    second.leads(AT_ONCE).await.unwrap();
    assert!(!term.holds() && !first.is_leading());
    first.elector.await.unwrap();
    assert_eq!(spec(&fake).lease_transitions, Some(1));
}

#[tokio::test(start_paused = true)]
async fn who_stops_before_it_heard_that_it_leads_hands_over_too() {
    let fake = Fake::default();
    let first = Replica::start(&fake, "one");
    first.way.send_replace(Way::Takes(Duration::ZERO, Duration::from_millis(300)));
    sleep(Duration::from_millis(450)).await;
    assert!(spec(&fake).holder_identity.unwrap().starts_with("one_") && !first.is_leading());
    first.stop.cancel();
    first.elector.await.unwrap();
    assert_eq!(spec(&fake).holder_identity.as_deref(), Some(""));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_lead_leaves_the_lease_alone_when_it_stops() {
    let fake = Fake::default();
    let first = Replica::start(&fake, "one");
    first.leads(AT_ONCE).await.unwrap();
    let second = Replica::start(&fake, "two");
    sleep(RETRY).await;
    second.stop.cancel();
    second.elector.await.unwrap();
    assert!(first.is_leading() && spec(&fake).holder_identity.unwrap().starts_with("one_"));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_stopped_for_long_learns_it_before_it_acts() {
    let fake = Fake::default();
    let replica = Replica::start(&fake, "one");
    let term = replica.leads(AT_ONCE).await.unwrap();
    let (go, gone) = oneshot::channel::<()>();
    let (acted, mut acts) = oneshot::channel();
    let write = tokio::spawn(term.clone().guard(async {
        gone.await.unwrap();
        acted.send(()).unwrap();
    }));
    let work = term.run(pending::<()>());
    go.send(()).unwrap();
    // Nothing runs while the time passes, as nothing does in a process that is stopped.
    advance(RENEW_DEADLINE).await;
    assert!(!term.holds());
    assert!(timeout(Duration::ZERO, work).await.unwrap().is_none());
    let next = replica.leads(AT_ONCE).await.unwrap();
    assert!(next.holds() && !term.holds(), "a term does not come back");
    write.abort();
    assert!(write.await.is_err() && acts.try_recv().is_err());
}

#[tokio::test]
async fn the_only_replica_leads() {
    let term = Leadership::sole().begins().await;
    assert!(term.holds());
    assert_eq!(term.run(async { 7 }).await, Some(7));
}

/// A way, and for how long.
fn stretch() -> impl Strategy<Value = (Way, Duration)> {
    let latency = || (0..7_000_u64).prop_map(Duration::from_millis);
    let way = prop_oneof![
        Just(Way::OPEN),
        (latency(), latency()).prop_map(|(there, back)| Way::Takes(there, back)),
        Just(Way::Refuses(500)),
        Just(Way::Swallows),
        Just(Way::Mute),
    ];
    (way, (100..20_000_u64).prop_map(Duration::from_millis))
}

/// Walks through a script, and then is open.
async fn walk(way: watch::Sender<Way>, script: Vec<(Way, Duration)>) {
    for (next, time) in script {
        way.send_replace(next);
        sleep(time).await;
    }
    way.send_replace(Way::OPEN);
}

/// Checks that no two lead, at every moment while something else goes on.
async fn alone<T>(replicas: &[Replica], meanwhile: impl Future<Output = T>) -> T {
    let mut ticks = interval(Duration::from_millis(10));
    let watching = async {
        loop {
            ticks.tick().await;
            assert!(replicas.iter().filter(|replica| replica.is_leading()).count() < 2, "two lead");
        }
    };
    tokio::select! {
        done = meanwhile => done,
        () = watching => unreachable!(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_network_does_one_leads_at_most_and_soon_after_somebody_does(
        scripts in prop::collection::vec(prop::collection::vec(stretch(), 1..12), 3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let fake = Fake::default();
            let replicas = ["one", "two", "three"].map(|name| Replica::start(&fake, name));
            let walks = replicas.iter().zip(scripts).map(|(replica, script)| walk(replica.way.clone(), script));
            alone(&replicas, futures::future::join_all(walks)).await;
            // A renewal may still be on its way for 7 s, and a call that hangs takes 5 to be given up.
            let soon = Duration::from_secs(7 + 5) + LEASE_DURATION + LONGEST_RETRY;
            assert!(alone(&replicas, leader(&replicas, soon)).await.is_some(), "nobody leads");
            for replica in &replicas {
                replica.stop.cancel();
            }
        });
    }
}
