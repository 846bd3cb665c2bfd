//! How often the server asks an API server that is busy or fails: seldom, and soon again once it works.

use anyhow::{Result, ensure};
use tokio::time::Instant;

use super::broken_api_server::{SOON, Trial, cluster, logs, manage_web, metric};
use support::{Fault, Namespace, PATIENCE};

#[tokio::test]
async fn a_correction_follows_soon_after_the_end_of_an_overload_that_asks_for_a_minute() -> Result<()> {
    let shop = Namespace::new(cluster().await?, "overload").await?;
    manage_web(&shop).await?;
    let trial = Trial::new(&shop, |_| Fault::None).await?;
    trial.corrects().await?;
    trial.proxy.set(|path| if path.contains("/scale") { Fault::Busy(60) } else { Fault::None });
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    logs(&trial.server, "Too many requests", PATIENCE).await?;
    ensure!(metric(&trial.server, "failing_targets").await? == 0.0, "the API server is busy, and the target is not");
    trial.proxy.repair();
    let start = Instant::now();
    shop.wait_for_replicas("deployment/web", 1).await?;
    ensure!(start.elapsed() < SOON, "it took {:?}", start.elapsed());
    let log = trial.server.log()?;
    ensure!(!log.contains("no answer within"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_list_that_keeps_failing_is_read_again_ever_more_seldom() -> Result<()> {
    let shop = Namespace::new(cluster().await?, "seldom").await?;
    manage_web(&shop).await?;
    let broken = |path: &str| match path.contains("statefulsets") {
        // The server then reads pages, and each of these lists begins with an event of its own.
        true if path.contains("sendInitialEvents") => Fault::Status(422),
        true => Fault::Status(500),
        false => Fault::None,
    };
    let trial = Trial::new(&shop, broken).await?;
    logs(&trial.server, "its first list keeps failing", PATIENCE).await?;
    let failures = metric(&trial.server, r#"watch_failures_total{watch="StatefulSet.apps"}"#).await?;
    // Within 20 s, the pauses grow to between 2.5 and 5 s. With the first pause alone there would be over a hundred.
    ensure!((4.0..20.0).contains(&failures), "{failures} failures");
    trial.corrects().await
}
