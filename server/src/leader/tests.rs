//! The election, in paused time.

mod fake;
mod property;
mod replica;

use std::{future::pending, time::Duration};

use serde_json::json;
use tokio::{
    sync::oneshot,
    time::{Instant, advance, sleep, timeout},
};

use self::{
    fake::{FakeApiServer, Network},
    replica::{AT_ONCE, LONGEST_RETRY, Replica, leader, spec},
};
use super::{
    leadership::Leadership,
    lease::{LEASE_DURATION, RENEW_DEADLINE, RETRY},
};

/// A time that Kubernetes stores and our types cannot hold.
const UNREADABLE: &str = "9999-12-31T23:59:59.000000Z";

#[tokio::test(start_paused = true)]
async fn a_missing_lease_is_made_and_renewed_as_others_expect() {
    let api_server = FakeApiServer::default();
    let replica = Replica::start(&api_server, "one");
    replica.leads(AT_ONCE).await.unwrap();
    let made = spec(&api_server);
    assert!(made.holder_identity.as_ref().unwrap().starts_with("one_"), "{made:?}");
    assert_eq!((made.lease_duration_seconds, made.lease_transitions), (Some(15), Some(0)));
    assert!(made.acquire_time.is_some() && made.acquire_time == made.renew_time, "{made:?}");
    sleep(LEASE_DURATION * 4).await;
    let renewed = spec(&api_server);
    assert_eq!((renewed.acquire_time, renewed.lease_transitions), (made.acquire_time, Some(0)));
    assert!(renewed.renew_time > made.renew_time);
    assert!(replica.is_leading());
}

#[tokio::test(start_paused = true)]
async fn of_replicas_that_start_at_once_one_leads() {
    for taken in [false, true] {
        let api_server = FakeApiServer::default();
        if taken {
            api_server.store(json!({"holderIdentity": "", "leaseDurationSeconds": 1, "leaseTransitions": 6}));
        }
        let replicas = ["one", "two", "three"].map(|name| Replica::start(&api_server, name));
        leader(&replicas, AT_ONCE).await.unwrap();
        sleep(LEASE_DURATION * 2).await;
        assert_eq!(replicas.iter().filter(|replica| replica.is_leading()).count(), 1);
        assert_eq!(spec(&api_server).lease_transitions, Some(if taken { 7 } else { 0 }));
        let losers = replicas.iter().filter(|replica| replica.metrics.leader.get() == 0);
        assert_eq!(losers.count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_is_gone_is_replaced_after_the_whole_time_for_every_duration_it_wrote() {
    for (time, seconds) in [
        ("2000-01-01T00:00:00.000000Z", 15),
        ("2100-01-01T00:00:00.000000Z", 15),
        (UNREADABLE, 15),
        ("2000-01-01T00:00:00.000000Z", 1),
    ] {
        let api_server = FakeApiServer::default();
        api_server.store(json!({"holderIdentity": "gone", "leaseDurationSeconds": seconds, "renewTime": time}));
        let start = Instant::now();
        let replica = Replica::start(&api_server, "one");
        replica.leads(LEASE_DURATION + AT_ONCE).await.unwrap();
        assert!(start.elapsed() >= LEASE_DURATION, "{time} {seconds}: {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_spec_is_a_sign_of_life_and_a_label_is_not() {
    let api_server = FakeApiServer::default();
    let write = |renewed: u32, label: u32| {
        api_server.store(json!({"holderIdentity": "other", "leaseDurationSeconds": 15, "leaseTransitions": renewed,
            "strategy": null, "preferredHolder": null, "renewTime": null, "acquireTime": null}));
        let mut lease = serde_json::to_value(api_server.lease()).unwrap();
        lease["metadata"]["labels"] = json!({"label": label.to_string()});
        api_server.replace(lease);
    };
    write(1, 1);
    let replica = Replica::start(&api_server, "one");
    assert!(replica.leads(Duration::from_secs(10)).await.is_none());
    write(2, 1);
    assert!(replica.leads(Duration::from_secs(10)).await.is_none());
    write(2, 2);
    replica.leads(Duration::from_secs(5) + AT_ONCE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_time_that_cannot_be_read_ends_no_term_and_is_replaced() {
    let api_server = FakeApiServer::default();
    let replica = Replica::start(&api_server, "one");
    let term = replica.leads(AT_ONCE).await.unwrap();
    for path in ["/spec/renewTime", "/spec/acquireTime", "/metadata/managedFields/0/time"] {
        let mut lease = serde_json::to_value(api_server.lease()).unwrap();
        lease["metadata"]["managedFields"] = json!([{"manager": "kubectl", "time": "2026-01-01T00:00:00Z"}]);
        *lease.pointer_mut(path).unwrap() = json!(UNREADABLE);
        api_server.replace(lease);
        sleep(RENEW_DEADLINE).await;
        assert!(term.holds(), "{path}");
        // The fake API server reads its Lease strictly.
        let renewed = spec(&api_server);
        assert!(renewed.acquire_time.is_some() && renewed.renew_time.is_some(), "{path}: {renewed:?}");
    }
    assert_eq!(replica.metrics.lease_failures.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_cannot_renew_stops_in_time_and_another_follows() {
    for network in
        [Network::Refuses(500), Network::Refuses(403), Network::LosesRequests, Network::LosesAnswers, slow(7)]
    {
        let api_server = FakeApiServer::default();
        let first = Replica::start(&api_server, "one");
        let term = first.leads(AT_ONCE).await.unwrap();
        let second = Replica::start(&api_server, "two");
        sleep(RETRY * 3 - Duration::from_millis(1)).await;
        first.network.send_replace(network);
        let cut = Instant::now();
        term.ends().await;
        assert!(cut.elapsed() <= RENEW_DEADLINE, "{network:?}: {:?}", cut.elapsed());
        assert!(!second.is_leading(), "{network:?}");
        // A renewal that was lost, refused or late is not stored; one whose answer was lost is.
        let longest = LEASE_DURATION
            + if matches!(network, Network::LosesAnswers | Network::Delays(..)) { LEASE_DURATION } else { RETRY };
        second.leads(longest - cut.elapsed()).await.unwrap_or_else(|| panic!("{network:?}: no other replica follows"));
        assert!(!first.is_leading() && first.metrics.lease_failures.get() > 0, "{network:?}");
    }
}

fn slow(seconds: u64) -> Network {
    Network::Delays(Duration::ZERO, Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn slow_answers_alone_cost_no_term() {
    let api_server = FakeApiServer::default();
    let replica = Replica::start(&api_server, "one");
    let term = replica.leads(AT_ONCE).await.unwrap();
    replica.network.send_replace(slow(4));
    sleep(LEASE_DURATION * 10).await;
    assert!(term.holds());
}

#[tokio::test(start_paused = true)]
async fn a_term_lasts_from_when_its_renewal_was_sent() {
    let api_server = FakeApiServer::default();
    let replica = Replica::start(&api_server, "one");
    let term = replica.leads(AT_ONCE).await.unwrap();
    replica.network.send_replace(slow(4));
    // Sent after 2 s, answered 4 s later.
    sleep(RETRY + Duration::from_millis(100)).await;
    let sent = Instant::now();
    replica.network.send_replace(Network::LosesRequests);
    term.ends().await;
    assert!(sent.elapsed() <= RENEW_DEADLINE && sent.elapsed() > RENEW_DEADLINE - AT_ONCE * 2, "{:?}", sent.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_was_refused_leads_once_it_is_not() {
    let api_server = FakeApiServer::default();
    let replica = Replica::start(&api_server, "one");
    replica.network.send_replace(Network::Refuses(403));
    assert!(replica.leads(LEASE_DURATION).await.is_none());
    assert!(replica.metrics.lease_failures.get() > 2);
    replica.network.send_replace(Network::GOOD);
    replica.leads(LONGEST_RETRY + AT_ONCE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_hands_over_at_once() {
    let api_server = FakeApiServer::default();
    let first = Replica::start(&api_server, "one");
    let term = first.leads(AT_ONCE).await.unwrap();
    let second = Replica::start(&api_server, "two");
    sleep(LEASE_DURATION).await;
    first.stop.cancel();
    second.leads(AT_ONCE).await.unwrap();
    assert!(!term.holds() && !first.is_leading());
    first.elector.await.unwrap();
    assert_eq!(spec(&api_server).lease_transitions, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_stops_before_it_knows_that_it_leads_hands_over_too() {
    let api_server = FakeApiServer::default();
    let first = Replica::start(&api_server, "one");
    first.network.send_replace(Network::Delays(Duration::ZERO, Duration::from_millis(300)));
    sleep(Duration::from_millis(450)).await;
    assert!(spec(&api_server).holder_identity.unwrap().starts_with("one_") && !first.is_leading());
    first.stop.cancel();
    first.elector.await.unwrap();
    assert_eq!(spec(&api_server).holder_identity.as_deref(), Some(""));
}

#[tokio::test(start_paused = true)]
async fn a_follower_leaves_the_lease_alone_when_it_stops() {
    let api_server = FakeApiServer::default();
    let first = Replica::start(&api_server, "one");
    first.leads(AT_ONCE).await.unwrap();
    let second = Replica::start(&api_server, "two");
    sleep(RETRY).await;
    second.stop.cancel();
    second.elector.await.unwrap();
    assert!(first.is_leading() && spec(&api_server).holder_identity.unwrap().starts_with("one_"));
}

#[tokio::test(start_paused = true)]
async fn a_blind_leader_hands_over_once_and_does_not_lead_until_it_sees() {
    let api_server = FakeApiServer::default();
    let first = Replica::start(&api_server, "one");
    let term = first.leads(AT_ONCE).await.unwrap();
    let second = Replica::start(&api_server, "two");
    sleep(LEASE_DURATION).await;
    first.blind.send_replace(true);
    term.ends().await;
    let reserve = LEASE_DURATION - RENEW_DEADLINE;
    assert!(second.leads(reserve - AT_ONCE).await.is_none(), "a write of the first one may be under way");
    second.leads(AT_ONCE * 2).await.unwrap();
    second.blind.send_replace(true);
    sleep(LEASE_DURATION * 4).await;
    assert!(!first.is_leading() && !second.is_leading(), "nobody leads if all are blind");
    assert_eq!(spec(&api_server).lease_transitions, Some(1), "the Lease does not go back and forth");
    first.blind.send_replace(false);
    first.leads(LONGEST_RETRY + AT_ONCE).await.unwrap();
    sleep(LEASE_DURATION * 2).await;
    assert!(first.is_leading() && !second.is_leading());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_suspended_for_long_notices_it_before_it_acts() {
    let api_server = FakeApiServer::default();
    let replica = Replica::start(&api_server, "one");
    let term = replica.leads(AT_ONCE).await.unwrap();
    let (go, gone) = oneshot::channel::<()>();
    let (acted, mut acts) = oneshot::channel();
    let write = tokio::spawn(term.clone().guard(async {
        gone.await.unwrap();
        acted.send(()).unwrap();
    }));
    let work = term.run(pending::<()>());
    go.send(()).unwrap();
    // Nothing runs while the time passes, as in a suspended process.
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
