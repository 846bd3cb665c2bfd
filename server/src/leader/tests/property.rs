//! The election on networks that behave in random ways.

use std::time::Duration;

use proptest::prelude::*;
use tokio::{
    sync::watch,
    time::{interval, sleep},
};

use super::{
    fake::{FakeApiServer, Network},
    replica::{LONGEST_RETRY, Replica, leader},
};
use crate::leader::LEASE_DURATION;

/// A behaviour of the network, and how long it lasts.
fn stretch() -> impl Strategy<Value = (Network, Duration)> {
    let latency = || (0..7_000_u64).prop_map(Duration::from_millis);
    let network = prop_oneof![
        Just(Network::GOOD),
        (latency(), latency()).prop_map(|(there, back)| Network::Delays(there, back)),
        Just(Network::Refuses(500)),
        Just(Network::LosesRequests),
        Just(Network::LosesAnswers),
    ];
    (network, (100..20_000_u64).prop_map(Duration::from_millis))
}

/// Follows a script, and then is good.
async fn play(network: watch::Sender<Network>, script: Vec<(Network, Duration)>) {
    for (next, time) in script {
        network.send_replace(next);
        sleep(time).await;
    }
    network.send_replace(Network::GOOD);
}

/// Checks all the time that no two replicas lead, while something else goes on.
async fn never_two_leaders<T>(replicas: &[Replica], meanwhile: impl Future<Output = T>) -> T {
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
    fn at_most_one_replica_leads_on_every_network_and_one_leads_soon_after(
        scripts in prop::collection::vec(prop::collection::vec(stretch(), 1..12), 3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let api_server = FakeApiServer::default();
            let replicas = ["one", "two", "three"].map(|name| Replica::start(&api_server, name));
            let plays = replicas.iter().zip(scripts).map(|(replica, script)| play(replica.network.clone(), script));
            never_two_leaders(&replicas, futures::future::join_all(plays)).await;
            // A renewal may still be under way for 7 s, and a call that hangs times out after 5 s.
            let soon = Duration::from_secs(7 + 5) + LEASE_DURATION + LONGEST_RETRY;
            assert!(never_two_leaders(&replicas, leader(&replicas, soon)).await.is_some(), "no replica leads");
            for replica in &replicas {
                replica.stop.cancel();
            }
        });
    }
}
