//! The plugin, compared with kubectl.

use std::{
    env,
    ffi::OsString,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use cluster::{Cluster, Options, run as command};

use support::{RUN_PODS, release};

use crate::{
    plot::{Curve, Plot},
    report::{Promise, Section, Table},
    stats::{Samples, format_duration, millis, ratio},
};

const NAMESPACE: &str = "shop";

/// Deployments in the namespace, all of them managed.
const DEPLOYMENTS: usize = 10;

/// Runs of each command, alternating.
const RUNS: usize = 30;

/// The promised median of a command that needs no connection, in milliseconds. Shell completion runs such commands at each
/// press of a key.
const LOCAL_MS: f64 = 10.0;

const LIST: &str = "kubectl-replicas list";
const LIST_BY_KUBECTL: &str = "kubectl replicas list";
const GET: &str = "kubectl get deployments";
const LOCAL: &str = "kubectl-replicas version --client";

pub(crate) async fn run() -> Result<Section> {
    let cluster = Cluster::start(Options::default()).await?;
    let _kubelet = release::run_pods(&cluster, &release::program("replica-count-manager")?)?;
    let mut helm = cluster.helm();
    helm.args(["install", release::NAME, release::CHART, "--namespace", release::NAME, "--create-namespace", RUN_PODS]);
    command(helm.args(["--wait", "--timeout=2m"])).await?;
    let mut path = release::program("kubectl-replicas")?.parent().map(OsString::from).unwrap_or_default();
    path.push(":");
    path.push(cluster.path());
    let time = async |line: &str| -> Result<Duration> {
        let mut words = line.split(' ');
        // With a path, the standard library spawns without a copy of this process, which would take as long as its memory
        // is large.
        let name = words.next().unwrap_or_default();
        let program = env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.exists());
        let mut program = cluster.command(program.with_context(|| format!("there is no {name}"))?);
        program.env("PATH", &path).args(words);
        let start = Instant::now();
        command(&mut program).await?;
        Ok(start.elapsed())
    };
    time("kubectl replicas login").await?;
    time(&format!("kubectl create namespace {NAMESPACE}")).await?;
    for number in 0..DEPLOYMENTS {
        time(&format!("kubectl create deployment web-{number} --image=example --namespace={NAMESPACE}")).await?;
        time(&format!("kubectl replicas set web-{number} 1 --namespace={NAMESPACE}")).await?;
    }
    let commands = [LIST, LIST_BY_KUBECTL, GET, LOCAL];
    let mut times = commands.map(|_| Vec::new());
    for _ in 0..RUNS {
        for (command, times) in commands.iter().zip(&mut times) {
            times.push(time(&format!("{command} --namespace={NAMESPACE}")).await?);
        }
    }
    Ok(section(&times.map(Samples::new)))
}

fn section([list, list_by_kubectl, get, local]: &[Samples; 4]) -> Section {
    let row = |(name, samples): (&str, &Samples)| {
        let times = format!("{:.2}×", ratio(samples.median(), get.median()));
        vec![format!("`{name}`"), format_duration(samples.median()), format_duration(samples.percentile(100)), times]
    };
    let curve = |(name, samples): (&str, &Samples)| Curve { name: name.to_owned(), points: samples.distribution() };
    let compared = [(LIST, list), (LIST_BY_KUBECTL, list_by_kubectl), (GET, get)];
    let times = ratio(list.median(), get.median());
    Section {
        title: "The plugin",
        about: format!(
            "The time that a command takes from its start to its end, {RUNS} times each, in turns, in a namespace with \
             {DEPLOYMENTS} managed Deployments. The server runs as the chart installs it, and `kubectl replicas login` \
             has got the certificate. The plugin finds the server's pod, opens a port-forward through the API server and \
             the kubelet, and speaks TLS within it. With `kubectl replicas`, kubectl starts first, and then starts the plugin."
        ),
        table: Table {
            head: vec!["", "median", "longest", "median : kubectl get"],
            rows: compared.into_iter().chain([(LOCAL, local)]).map(row).collect(),
        },
        promises: vec![
            Promise::at_most("median of `kubectl-replicas list` : `kubectl get deployments`", 1.0, "×", times),
            Promise::at_most("median of `version --client`", LOCAL_MS, " ms", millis(local.median())),
        ],
        plots: vec![Plot::latencies(
            "plugin",
            "Commands, from start to end",
            compared.into_iter().map(curve).collect(),
        )],
    }
}
