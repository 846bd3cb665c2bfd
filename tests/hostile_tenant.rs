//! A hostile tenant: the editor of one namespace, and a user who has no right but a certificate, use everything that a
//! server can be made to hold or do, all at once. Others notice little of it. Nor does it help to have webhooks in the way,
//! and to fill their port.

mod levers;
mod missing_kinds;
mod observers;
mod scene;

use std::{env, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use support::release;
use tokio::try_join;

use self::{
    levers::Attack,
    observers::{Corrections, calls_of_others, memory, percentile, probes, writes_of_others},
    scene::{Mode, Scene, Size},
};

/// How long the attack lasts, unless the environment variable `ATTACK_SECONDS` sets another time.
const ATTACK: Duration = Duration::from_secs(600);

/// How long corrections are measured before the attack.
const QUIET: Duration = Duration::from_secs(60);

/// A cluster of usual size.
const FULL: Size = Size { deployments: 20_000, managed: 2000, missing_kinds: 3000, hanging: 700, is_full: true };

/// As much as a short test can create.
const SHORT: Size = Size { deployments: 2000, managed: 200, missing_kinds: 300, hanging: 70, is_full: false };

/// A correction is fast within this time, whatever the machine. Shorter times are those of its scheduler.
const FAST: Duration = Duration::from_millis(10);

/// The longest 99th percentile of reviews.
const REVIEW: Duration = Duration::from_millis(100);

/// The release build, as it is installed; that of the other tests if none is named. And how long to attack.
fn attacked() -> Result<(PathBuf, Duration)> {
    let lasting = match env::var("ATTACK_SECONDS") {
        Ok(seconds) => Duration::from_secs(seconds.parse().context("ATTACK_SECONDS")?),
        Err(_) => ATTACK,
    };
    let server = env::var("ATTACKED_SERVER")
        .map_or_else(|_| release::program("replica-count-manager"), |path| Ok(path.into()))?;
    Ok((server, lasting))
}

#[tokio::test]
#[ignore = "attacks for ten minutes: make stress"]
async fn a_hostile_tenant_harms_no_others() -> Result<()> {
    let (server, lasting) = attacked()?;
    let ratio = attack(server, FULL, Mode::Off, QUIET, lasting).await?;
    ensure!(ratio <= 1.5, "corrections took {ratio:.2} times as long as those of a bare client");
    Ok(())
}

#[tokio::test]
#[ignore = "loads the whole machine, so nothing may run beside it: make stress"]
async fn a_short_attack_harms_no_others() -> Result<()> {
    let server = release::program("replica-count-manager")?;
    attack(server, SHORT, Mode::Off, Duration::from_secs(5), Duration::from_secs(20)).await.map(drop)
}

#[tokio::test]
#[ignore = "attacks for ten minutes: make stress"]
async fn a_hostile_tenant_delays_no_webhooks() -> Result<()> {
    let (server, lasting) = attacked()?;
    attack(server, FULL, Mode::Guard, QUIET, lasting).await.map(drop)
}

#[tokio::test]
#[ignore = "loads the whole machine, so nothing may run beside it: make stress"]
async fn a_short_attack_delays_no_webhooks() -> Result<()> {
    let server = release::program("replica-count-manager")?;
    attack(server, SHORT, Mode::Guard, Duration::from_secs(5), Duration::from_secs(20)).await.map(drop)
}

/// Attacks, and checks all that does not depend on the machine's speed.
///
/// Returns how the 99th percentile of the corrections compares with that of a client that only watches and patches, during
/// the same attack. The attack slows the API server as well, so times from before it do not compare.
async fn attack(server: PathBuf, size: Size, mode: Mode, quiet: Duration, lasting: Duration) -> Result<f64> {
    let scene = Scene::new(&server, size, mode).await?;
    let corrections = Corrections::start(&scene).await?;
    let before = corrections.measure(quiet).await?;
    let (pid, leases) = (scene.pid().await?, scene.lease().await?);

    let attack = Attack::start(&scene, lasting)?;
    let (during, highest, probed, called, written) = try_join!(
        corrections.measure(lasting),
        memory(&scene, lasting),
        probes(&scene.http, lasting),
        calls_of_others(&scene, lasting),
        writes_of_others(&scene, lasting),
    )?;
    let counts = attack.end().await?;

    println!("{} s of attack on {}", lasting.as_secs(), server.display());
    for (lever, count) in &counts {
        println!("{lever}: {count}, {:.1} a second", *count as f64 / lasting.as_secs_f64());
    }
    println!("memory: at most {highest} MiB of {}", scene.limit);
    println!("{probed} probes were answered in time");
    let [kept, new, opened] = called;
    for (name, latencies) in [
        ("calls of others on a kept connection", &kept),
        ("calls of others on new connections", &new),
        ("connections of others without TLS", &opened),
        ("writes of others to counts that nobody holds", &written.latencies),
        ("reviews of a count that nobody holds", &written.free_reviews),
        ("reviews of a held count", &written.held_reviews),
        ("corrections, ours, quiet", &before.ours),
        ("corrections, bare, quiet", &before.bare),
        ("corrections, ours, attacked", &during.ours),
        ("corrections, bare, attacked", &during.bare),
    ] {
        let [p50, p99, slowest] = [50, 99, 100].map(|part| percentile(latencies, part));
        println!("{name}: {} with a median of {p50:?}, p99 {p99:?}, at most {slowest:?}", latencies.len());
    }
    ensure!((scene.pid().await?, scene.lease().await?) == (pid, leases), "it restarted, or lost its Lease");
    println!("of {} calls by the API server, {} took at most a tenth of a second", written.calls, written.quick);
    for (name, reviews) in [("nobody holds", &written.free_reviews), ("is held", &written.held_reviews)] {
        let slow = percentile(reviews, 99);
        ensure!(slow <= REVIEW, "the 99th percentile of reviews of a count that {name} took {slow:?}");
    }
    for (lever, least) in levers::LEAST.into_iter().filter(|(lever, _)| mode == Mode::Guard || *lever != levers::IDLE) {
        let least = if size.is_full { least } else { 1 };
        let count = counts.get(lever).copied().unwrap_or(0);
        ensure!(count >= least, "{lever}: {count}, which is less than {least}");
    }
    let ratio = |one: Duration, other: Duration| one.max(FAST).as_secs_f64() / other.max(FAST).as_secs_f64();
    Ok(ratio(percentile(&during.ours, 99), percentile(&during.bare, 99)))
}
