//! The plugin, compared with kubectl.

use std::{
    ffi::OsString,
    time::{Duration, Instant},
};

use anyhow::Result;
use cluster::{Cluster, Options, run as command};

use support::release;

use crate::{
    plot::{Curve, Plot},
    report::{Section, Table},
    stats::{Samples, format_duration, ratio},
};

const NAMESPACE: &str = "shop";

/// Deployments in the namespace, all of them managed.
const DEPLOYMENTS: usize = 10;

/// Runs of each command, alternating.
const RUNS: usize = 30;

pub(crate) async fn run() -> Result<Section> {
    let cluster = Cluster::start(Options::default()).await?;
    let certificates = cluster.folder().join("certificates");
    release::make_certificates(&certificates).await?;
    let _kubelet = release::run_pods(&cluster, &release::program("replica-count-manager")?)?;
    release::install(&cluster, &certificates, &[]).await?;
    let config = release::configure_plugin(&cluster, &certificates).await?;
    let mut path = release::program("kubectl-replicas")?.parent().map(OsString::from).unwrap_or_default();
    path.push(":");
    path.push(cluster.path());
    let kubectl = async |line: &str| -> Result<Duration> {
        let mut kubectl = cluster.kubectl();
        kubectl.env("PATH", &path).env("KUBECTL_REPLICAS_CONFIG", &config);
        let start = Instant::now();
        command(kubectl.args(line.split(' '))).await?;
        Ok(start.elapsed())
    };
    kubectl(&format!("create namespace {NAMESPACE}")).await?;
    for number in 0..DEPLOYMENTS {
        kubectl(&format!("create deployment web-{number} --image=example --namespace={NAMESPACE}")).await?;
        kubectl(&format!("replicas set web-{number} 1 --namespace={NAMESPACE}")).await?;
    }
    let (mut plugin, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        plugin.push(kubectl(&format!("replicas list -n {NAMESPACE}")).await?);
        plain.push(kubectl(&format!("get deployments -n {NAMESPACE}")).await?);
    }
    Ok(section(&Samples::new(plugin), &Samples::new(plain)))
}

fn section(plugin: &Samples, plain: &Samples) -> Section {
    let names = ["kubectl replicas list", "kubectl get deployments"];
    let all = [plugin, plain];
    let row = |(name, samples): (&str, &Samples)| {
        let times = format!("{:.2}×", ratio(samples.median(), plain.median()));
        vec![format!("`{name}`"), format_duration(samples.median()), format_duration(samples.percentile(100)), times]
    };
    let curve = |(name, samples): (&str, &Samples)| Curve { name: name.to_owned(), points: samples.distribution() };
    Section {
        title: "The plugin",
        about: format!(
            "The time that a command takes from its start to its end, {RUNS} times each, in turns, in a namespace with \
             {DEPLOYMENTS} managed Deployments. The server runs as the chart installs it; the plugin finds its pod, \
             opens a port-forward through the API server and the kubelet, and speaks TLS within it. kubectl starts twice \
             as many programs then: itself and the plugin."
        ),
        table: Table {
            head: vec!["", "median", "longest", "median : kubectl get"],
            rows: names.into_iter().zip(all).map(row).collect(),
        },
        promises: Vec::new(),
        plots: vec![Plot::latencies(
            "plugin",
            "Commands, from start to end",
            names.into_iter().zip(all).map(curve).collect(),
        )],
    }
}
