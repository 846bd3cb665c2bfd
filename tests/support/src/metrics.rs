//! Metrics, as the server's HTTP address serves them.

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// The value of a metric without labels, by its name without the prefix `replica_count_manager_`.
pub fn metric(metrics: &str, name: &str) -> Result<u64> {
    let line = format!("replica_count_manager_{name} ");
    let value = metrics.lines().find_map(|text| text.strip_prefix(&line));
    Ok(value.with_context(|| format!("no {name} in {metrics}"))?.parse()?)
}

/// The sum of all series of a counter, by its name without the prefix `replica_count_manager_`. It is 0 if there is no
/// series yet.
pub fn metric_total(metrics: &str, name: &str) -> Result<u64> {
    let series = format!("replica_count_manager_{name}");
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(&series)?;
        rest.starts_with([' ', '{']).then(|| rest.rsplit(' ').next().unwrap_or_default())
    });
    values.map(|value| value.parse::<u64>().with_context(|| format!("{name} is {value}"))).sum()
}

/// Sends a GET request over plain HTTP, and returns the status and the body.
pub async fn http(address: &str, path: &str) -> Result<(u16, String)> {
    let client: Client<HttpConnector, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.get(format!("http://{address}{path}").parse()?).await?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8(body.to_vec()).context("the answer is no text")?))
}
