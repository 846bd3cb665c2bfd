//! The API server fails, hangs, refuses, is slow or is not there, for the whole server or for some of its watches. A
//! proxy between them breaks the requests. The tests that take minutes print the times of docs/outages.md.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use cluster::{Options, run, wait};
use tokio::{sync::OnceCell, time::Instant};

use support::{
    ApiProxy, CERTIFICATE_FILES, Fault, Namespace, NetworkPath, PATIENCE, StandaloneServer, TestCluster, http,
    manifests::{ReplicaCountManifest, Workload, names},
    release::NAME,
    server_flags,
};

/// The time in which a server works again once the API server does: the longest pause between attempts (5 s), and a busy
/// machine.
pub(super) const SOON: Duration = Duration::from_secs(15);

/// A cluster whose own server is stopped, so that only the servers of these tests correct counts.
pub(super) async fn cluster() -> Result<&'static TestCluster> {
    static CLUSTER: OnceCell<TestCluster> = OnceCell::const_new();
    CLUSTER.get_or_try_init(new_cluster).await
}

pub(super) async fn new_cluster() -> Result<TestCluster> {
    let cluster = TestCluster::start(Options::default()).await?;
    run(cluster.kubectl().args(["scale", "deployment", NAME, "--replicas=0", "--namespace", NAME])).await?;
    wait::until("no server", PATIENCE, async || {
        let pods = cluster.servers_in(NAME).await?;
        ensure!(pods.is_empty(), "{} are left", pods.len());
        Ok(())
    })
    .await?;
    Ok(cluster)
}

/// A server behind a proxy, and its namespace with the managed Deployment `web`.
pub(super) struct Trial<'a> {
    shop: &'a Namespace<'a>,
    pub(super) proxy: ApiProxy,
    pub(super) server: StandaloneServer,
}

impl<'a> Trial<'a> {
    pub(super) async fn new(
        shop: &'a Namespace<'a>,
        rule: impl Fn(&str) -> Fault + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::with_flags(shop, rule, &[]).await
    }

    async fn with_flags(
        shop: &'a Namespace<'a>,
        rule: impl Fn(&str) -> Fault + Send + Sync + 'static,
        flags: &[String],
    ) -> Result<Self> {
        let proxy = ApiProxy::new(shop.cluster, "127.0.0.1").await?.listen().await?;
        proxy.set(rule);
        let certificates = server_flags(shop, shop.cluster.certificates(), CERTIFICATE_FILES);
        let server = shop.cluster.standalone_with_kubeconfig(proxy.kubeconfig(), certificates.iter().chain(flags))?;
        Ok(Self { shop, proxy, server })
    }

    pub(super) async fn corrects(&self) -> Result<()> {
        corrects(self.shop).await
    }
}

/// Creates the managed Deployment `web`, which has one replica.
pub(super) async fn manage_web(shop: &Namespace<'_>) -> Result<()> {
    let web = ["web".to_owned()];
    shop.create_all(&web, |name| Workload::deployment(name).replicas(1).without_pods().manifest()).await?;
    shop.create_all(&web, |name| ReplicaCountManifest::deployment(name).manifest()).await
}

/// Makes a drift, and waits for its correction.
async fn corrects(shop: &Namespace<'_>) -> Result<()> {
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    shop.wait_for_replicas("deployment/web", 1).await
}

/// Waits until `/readyz` answers with this text within some time, and returns how long that took.
async fn readyz(server: &StandaloneServer, text: &str, within: Duration) -> Result<Duration> {
    let start = Instant::now();
    wait::until(&format!("{text:?} of /readyz"), within, async || {
        let answer = http(&server.http, "/readyz").await?;
        ensure!(answer.1.contains(text), "{answer:?}");
        Ok(())
    })
    .await?;
    Ok(start.elapsed())
}

/// Waits until the log has these words.
pub(super) async fn logs(server: &StandaloneServer, words: &str, within: Duration) -> Result<Duration> {
    let start = Instant::now();
    wait::until(&format!("{words:?} in the log"), within, async || {
        let log = server.log()?;
        ensure!(log.contains(words), "{log}");
        Ok(())
    })
    .await?;
    Ok(start.elapsed())
}

/// The value of a series without the common prefix.
pub(super) async fn metric(server: &StandaloneServer, series: &str) -> Result<f64> {
    let metrics = http(&server.http, "/metrics").await?.1;
    let line = format!("replica_count_manager_{series} ");
    let value = metrics.lines().find_map(|text| text.strip_prefix(&line));
    Ok(value.with_context(|| format!("no {series} in {metrics}"))?.parse()?)
}

#[tokio::test]
async fn a_lasting_failure_of_other_watches_than_that_of_replica_counts_stops_nothing() -> Result<()> {
    let shop = Namespace::new(cluster().await?, "failing").await?;
    manage_web(&shop).await?;
    let is_broken = |path: &str| ["horizontalpodautoscalers", "statefulsets"].iter().any(|word| path.contains(word));
    let broken = move |path: &str| if is_broken(path) { Fault::Status(500) } else { Fault::None };
    let trial = Trial::new(&shop, broken).await?;
    let took = readyz(&trial.server, "ok", PATIENCE).await?;
    println!("lasting 500 of other watches from the start: ready after {took:?}");
    trial.corrects().await?;
    logs(&trial.server, "its first list keeps failing", PATIENCE).await?;
    ensure!(metric(&trial.server, r#"watch_silent_seconds{watch="HorizontalPodAutoscaler"}"#).await? > 5.0);
    ensure!(metric(&trial.server, r#"watch_silent_seconds{watch="ReplicaCount"}"#).await? < 65.0);
    Ok(())
}

#[tokio::test]
async fn refusals_while_an_api_server_starts_are_tolerated() -> Result<()> {
    let shop = Namespace::new(cluster().await?, "refusing").await?;
    manage_web(&shop).await?;
    for code in [401, 403, 503] {
        let trial = Trial::new(&shop, move |_| Fault::Status(code)).await?;
        logs(&trial.server, "broken by the test", PATIENCE).await?;
        ensure!(http(&trial.server.http, "/readyz").await?.0 == 503, "{code}");
        trial.proxy.repair();
        let took = readyz(&trial.server, "ok", SOON).await.with_context(|| format!("after {code}"))?;
        trial.corrects().await?;
        println!("{code} during the start: ready {took:?} after its end");
    }
    Ok(())
}

/// Starts a server that manages its certificates, some time before the API server listens.
async fn start_before_the_api_server(cluster: &TestCluster, purpose: &str, time: Duration) -> Result<()> {
    let shop = Namespace::new(cluster, purpose).await?;
    manage_web(&shop).await?;
    let proxy = ApiProxy::new(cluster, "127.0.0.1").await?;
    let flags = [
        format!("--namespace={}", shop.name),
        "--certificates=managed".into(),
        "--sign-clients=true".into(),
        format!("--pod-namespace={}", shop.name),
        "--pod-name=early".into(),
        "--lease=early".into(),
    ];
    let server = cluster.standalone_with_kubeconfig(proxy.kubeconfig(), flags)?;
    logs(&server, "the certificate cannot be loaded", PATIENCE).await?;
    let start = Instant::now();
    wait::until("the time to pass", time + PATIENCE, async || {
        let answers = [http(&server.http, "/livez").await?, http(&server.http, "/readyz").await?];
        if answers != [(200, "ok\n".to_owned()), (503, "the server has no certificate yet\n".to_owned())] {
            return Ok(Err(anyhow!("{answers:?}")));
        }
        ensure!(start.elapsed() >= time);
        Ok(Ok(()))
    })
    .await??;
    let _proxy = proxy.listen().await?;
    let took = readyz(&server, "ok", SOON).await?;
    println!("without the API server for {time:?}: ready {took:?} after it came");
    corrects(&shop).await
}

#[tokio::test]
async fn a_scale_of_another_version_is_a_successful_correction() -> Result<()> {
    let shop = Namespace::new(cluster().await?, "openshift").await?;
    manage_web(&shop).await?;
    let is_scale = |path: &str| if path.contains("/scale") { Fault::ScaleOfOpenShift } else { Fault::None };
    let trial = Trial::new(&shop, is_scale).await?;
    // A count that is another one before the server begins is no drift.
    shop.wait_for_replica_count("deployment.web", "the count in place", |count| count["status"]["observed"] == 1)
        .await?;
    for drifts in 1..=2 {
        trial.corrects().await?;
        shop.wait_for_drifts("deployment.web", drifts).await?;
    }
    let log = trial.server.log()?;
    ensure!(log.contains("put back") && !log.contains("correction failed"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_starts_before_the_api_server_lives_and_works_soon_after_it_comes() -> Result<()> {
    start_before_the_api_server(cluster().await?, "early", Duration::ZERO).await
}

#[tokio::test]
#[ignore = "it takes three minutes: make stress"]
async fn a_server_without_an_api_server_for_minutes_works_soon_after_it_comes() -> Result<()> {
    start_before_the_api_server(&new_cluster().await?, "minutes", Duration::from_secs(180)).await
}

#[tokio::test]
#[ignore = "it takes three minutes: make stress"]
async fn a_blind_leader_hands_over_once_and_is_not_ready_until_it_sees() -> Result<()> {
    let cluster = new_cluster().await?;
    let shop = Namespace::new(&cluster, "blind").await?;
    manage_web(&shop).await?;
    let flags =
        |pod: &str| ["--lease=blind".into(), format!("--pod-namespace={}", shop.name), format!("--pod-name={pod}")];
    let leader = Trial::with_flags(&shop, |_| Fault::None, &flags("one")).await?;
    logs(&leader.server, "leading", PATIENCE).await?;
    let standby = Trial::with_flags(&shop, |_| Fault::None, &flags("two")).await?;
    readyz(&standby.server, "ok", PATIENCE).await?;
    corrects(&shop).await?;

    leader.proxy.set(|path| {
        if path.contains("watch=") && path.contains("replicacounts") { Fault::Silence } else { Fault::None }
    });
    let start = Instant::now();
    wait::until("the metric to rise", Duration::from_secs(150), async || {
        let silent = metric(&leader.server, r#"watch_silent_seconds{watch="ReplicaCount"}"#).await?;
        ensure!(silent > 61.0, "{silent} s");
        Ok(())
    })
    .await?;
    println!("watches never answered: the metric is above its usual 60 s after {:?}", start.elapsed());
    readyz(&leader.server, "hears nothing", Duration::from_secs(150)).await?;
    let unready = start.elapsed();
    logs(&standby.server, "leading", PATIENCE).await?;
    println!("watches never answered: not ready after {unready:?}, the other leads after {:?}", start.elapsed());
    ensure!(unready < Duration::from_secs(95), "{unready:?}");
    corrects(&shop).await?;
    ensure!(metric(&leader.server, "leader").await? == 0.0 && metric(&standby.server, "leader").await? == 1.0);

    leader.proxy.repair();
    let took = readyz(&leader.server, "ok", Duration::from_secs(60)).await?;
    println!("watches never answered: ready {took:?} after the repair");
    ensure!(metric(&standby.server, "leader").await? == 1.0, "the Lease stays where it is");
    ensure!(leader.server.log()?.matches("handing over").count() == 1, "{}", leader.server.log()?);
    corrects(&shop).await
}

#[tokio::test]
#[ignore = "it takes three minutes: make stress"]
async fn a_list_that_takes_longer_than_a_watch_lasts_completes() -> Result<()> {
    let cluster = new_cluster().await?;
    let shop = Namespace::new(&cluster, "slow").await?;
    let many = names("deployment", 300);
    shop.create_all(&many, |name| Workload::deployment(name).replicas(1).without_pods().manifest()).await?;
    manage_web(&shop).await?;
    let slow = |path: &str| if path.contains("/deployments") { Fault::Slow(5_000) } else { Fault::None };
    let trial = Trial::new(&shop, slow).await?;
    logs(&trial.server, "reading it in pages", Duration::from_secs(120)).await?;
    let took = readyz(&trial.server, "ok", Duration::from_secs(400)).await?;
    println!("slow lists: ready {took:?} after the streamed list was cut off at 60 s");
    ensure!(metric(&trial.server, r#"watch_failures_total{watch="Deployment.apps"}"#).await? >= 1.0);
    trial.proxy.repair();
    trial.corrects().await
}

#[tokio::test]
#[ignore = "it takes two minutes, and needs root: make stress"]
async fn a_path_that_swallows_packets_is_noticed_and_left() -> Result<()> {
    let cluster = new_cluster().await?;
    let shop = Namespace::new(&cluster, "swallowed").await?;
    manage_web(&shop).await?;
    let path = NetworkPath::new().await?;
    let proxy = ApiProxy::new(&cluster, NetworkPath::HERE).await?.listen().await?;
    let flags = server_flags(&shop, cluster.certificates(), CERTIFICATE_FILES);
    let server = cluster.standalone_in_network(&path.name, proxy.kubeconfig(), flags)?;
    let is = async |what: &str, words: &str, within| {
        let start = Instant::now();
        wait::until(words, within, async || {
            let answer = path.get(&format!("http://{}/{what}", server.http)).await?;
            ensure!(answer.contains(words), "{answer}");
            Ok(())
        })
        .await?;
        anyhow::Ok(start.elapsed())
    };
    is("readyz", "ok", PATIENCE).await?;
    corrects(&shop).await?;

    path.swallow().await?;
    let fails = logs(&server, "watch failed", Duration::from_secs(45));
    let (failed, unready) = tokio::try_join!(fails, is("readyz", "out of reach", Duration::from_secs(45)))?;
    println!("packets swallowed: the watches fail after {failed:?}, not ready after {unready:?}");
    path.repair().await?;
    let took = is("readyz", "ok", Duration::from_secs(60)).await?;
    corrects(&shop).await?;
    println!("packets swallowed: ready {took:?} after the repair");
    Ok(())
}
