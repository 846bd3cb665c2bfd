//! Reads of the server, compared with reads of the API server.

use std::time::{Duration, Instant};

use anyhow::Result;
use contract::replicas::v1;
use kube::{Api, api::ListParams};
use replica_count_manager::resources::ReplicaCount;

use crate::{
    CALLERS,
    bench_cluster::{BenchCluster, Clients},
    calls::Calls,
    deployments,
    plot::{Curve, Plot},
    report::{Section, Table},
};

const MANAGED: usize = 10_000;

const CONCURRENCIES: [usize; 3] = [1, 16, CALLERS];

/// The time of each measurement.
const SPAN: Duration = Duration::from_secs(3);

pub(crate) async fn run() -> Result<Section> {
    let cluster = BenchCluster::start().await?;
    cluster.create_managed_deployments(MANAGED).await?;
    let server = cluster.server().await?;
    let clients = cluster.clients(&server, CALLERS).await?;
    let counts =
        |index: usize| -> Api<ReplicaCount> { Api::namespaced(cluster.client.clone(), &deployments::namespace(index)) };
    let (mut rows, mut curves) = (Vec::new(), Vec::new());
    for callers in CONCURRENCIES {
        let get = span(callers, async |index| get(&clients, index).await).await?;
        let plain_get = span(callers, async |index| {
            Ok(counts(index).get(&deployments::replica_count_name(&deployments::name(index))).await.map(drop)?)
        });
        let plain_get = plain_get.await?;
        let list = span(callers, async |index| list(&clients, index).await).await?;
        let plain_list =
            span(callers, async |index| Ok(counts(index).list(&ListParams::default()).await.map(drop)?)).await?;
        for (name, ours, plain) in [("Get", &get, &plain_get), ("List of 100", &list, &plain_list)] {
            rows.push(row(&format!("{name}, {callers} callers"), ours, plain));
        }
        if callers == CALLERS {
            curves = [("Get", get), ("GET", plain_get), ("List of 100", list), ("GET of 100", plain_list)]
                .map(|(name, calls)| Curve { name: name.to_owned(), points: calls.samples().distribution() })
                .into();
        }
    }
    Ok(Section {
        title: "Get and List",
        about: format!(
            "{MANAGED} managed Deployments in 100 namespaces. A Get reads one of them, a List the 100 of a namespace; \
             the next call is for another one. So nearly every Get asks the API server for the caller's right to that \
             object. Beside it the same from the API server, by a plain client: GET of a ReplicaCount, and of all in a \
             namespace. Each for {} s.",
            SPAN.as_secs()
        ),
        table: Table {
            head: vec!["", "rate", "median", "p99", "API server: rate", "median", "p99", "rate : API server's"],
            rows,
        },
        promises: Vec::new(),
        plots: vec![Plot::latencies("reads", "Reads by 64 callers", curves)],
    })
}

async fn get(clients: &Clients, index: usize) -> Result<()> {
    let request = v1::GetReplicaCountRequest { target: Some(deployments::target(index)), ..Default::default() };
    clients.next().get_replica_count(request).await?;
    Ok(())
}

async fn list(clients: &Clients, index: usize) -> Result<()> {
    let request = v1::ListReplicaCountsRequest { namespace: deployments::namespace(index), ..Default::default() };
    clients.next().list_replica_counts(request).await?;
    Ok(())
}

/// Makes calls for [`SPAN`], for one Deployment after another.
async fn span<F: Future<Output = Result<()>>>(callers: usize, call: impl Fn(usize) -> F) -> Result<Calls> {
    let end = Instant::now() + SPAN;
    // The stride has no common factor with the number of namespaces.
    let indices = (0..).map(|number| number * 37 % MANAGED).take_while(|_| Instant::now() < end);
    Calls::make(indices, callers, call).await
}

fn row(name: &str, ours: &Calls, plain: &Calls) -> Vec<String> {
    let times = format!("{:.1}×", ours.rate() / plain.rate());
    [vec![name.to_owned()], ours.cells().into(), plain.cells().into(), vec![times]].concat()
}
