//! Probes a process as a container's spec says.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Container, Probe as Spec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// The most that is read of an answer, as in the real kubelet.
const LONGEST_ANSWER: u64 = 10 * 1024;

/// The results of a container's probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) started: bool,
    pub(super) ready: bool,
    pub(super) alive: bool,
}

impl Health {
    /// The state before the first probe.
    pub(super) const UNKNOWN: Self = Self { started: false, ready: false, alive: true };
}

/// The probes of a container.
#[derive(Clone, Debug)]
pub(super) struct Probes {
    startup: Option<Probe>,
    readiness: Option<Probe>,
    liveness: Option<Probe>,
}

#[derive(Clone, Debug)]
struct Probe {
    port: u16,
    path: String,
    delay: Duration,
    period: Duration,
    timeout: Duration,
    successes: i32,
    failures: i32,
}

impl Probes {
    /// Reads the probes of a container. `host_port` maps a port of the container to a port of this machine.
    pub(super) fn new(container: &Container, host_port: impl Fn(u16) -> Option<u16>) -> Result<Self> {
        let probe = |spec: &Option<Spec>| {
            spec.as_ref().map(|spec| Probe::new(spec, container, &host_port)).transpose().context("unusable probe")
        };
        Ok(Self {
            startup: probe(&container.startup_probe)?,
            readiness: probe(&container.readiness_probe)?,
            liveness: probe(&container.liveness_probe)?,
        })
    }

    /// Probes until the future is dropped: first the startup, then readiness and liveness concurrently.
    pub(super) async fn watch(self, health: watch::Sender<Health>) {
        if let Some(startup) = &self.startup {
            sleep(startup.delay).await;
            if !startup.verdict_other_than(None).await {
                return health.send_modify(|health| health.alive = false);
            }
        }
        health.send_modify(|health| health.started = true);
        tokio::join!(Self::readiness(self.readiness, &health), Self::liveness(self.liveness, &health));
    }

    async fn readiness(probe: Option<Probe>, health: &watch::Sender<Health>) {
        let Some(probe) = probe else {
            return health.send_modify(|health| health.ready = true);
        };
        sleep(probe.delay).await;
        let mut ready = false;
        loop {
            ready = probe.verdict_other_than(Some(ready)).await;
            health.send_modify(|health| health.ready = ready);
            sleep(probe.period).await;
        }
    }

    async fn liveness(probe: Option<Probe>, health: &watch::Sender<Health>) {
        if let Some(probe) = probe {
            sleep(probe.delay).await;
            probe.verdict_other_than(Some(true)).await;
            health.send_modify(|health| health.alive = false);
        }
    }
}

impl Probe {
    fn new(spec: &Spec, container: &Container, host_port: impl Fn(u16) -> Option<u16>) -> Result<Self> {
        let get = spec.http_get.as_ref().context("only httpGet probes can be run")?;
        ensure!(get.scheme.as_deref().unwrap_or("HTTP") == "HTTP", "only plain HTTP can be probed");
        let port = container_port(&get.port, container)?;
        let seconds = |value: Option<i32>, default: i32| -> Result<Duration> {
            Ok(Duration::from_secs(u64::try_from(value.unwrap_or(default))?))
        };
        Ok(Self {
            port: host_port(port).with_context(|| format!("the container does not declare port {port}"))?,
            path: get.path.clone().unwrap_or_else(|| "/".into()),
            delay: seconds(spec.initial_delay_seconds, 0)?,
            period: seconds(spec.period_seconds, 10)?,
            timeout: seconds(spec.timeout_seconds, 1)?,
            successes: spec.success_threshold.unwrap_or(1),
            failures: spec.failure_threshold.unwrap_or(3),
        })
    }

    /// Probes until the verdict differs from the known one.
    async fn verdict_other_than(&self, known: Option<bool>) -> bool {
        let mut streak = Streak::new(self.successes, self.failures);
        loop {
            match streak.observe(self.attempt().await.is_ok()) {
                Some(verdict) if known != Some(verdict) => return verdict,
                _ => sleep(self.period).await,
            }
        }
    }

    async fn attempt(&self) -> Result<()> {
        let status = timeout(self.timeout, get(self.port, &self.path)).await??;
        ensure!((200..400).contains(&status), "status {status}");
        Ok(())
    }
}

/// Counts equal results in a row.
struct Streak {
    successes: i32,
    failures: i32,
    last: bool,
    length: i32,
}

impl Streak {
    const fn new(successes: i32, failures: i32) -> Self {
        Self { successes, failures, last: false, length: 0 }
    }

    /// Returns the verdict, once enough results in a row agree.
    const fn observe(&mut self, success: bool) -> Option<bool> {
        self.length = if self.last == success { self.length + 1 } else { 1 };
        self.last = success;
        let needed = if success { self.successes } else { self.failures };
        if self.length >= needed { Some(success) } else { None }
    }
}

/// Resolves a port that is given by number or name.
fn container_port(port: &IntOrString, container: &Container) -> Result<u16> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            container
                .ports
                .iter()
                .flatten()
                .find(|port| port.name.as_ref() == Some(name))
                .with_context(|| format!("the container has no port called {name}"))?
                .container_port
        }
    };
    Ok(u16::try_from(number)?)
}

/// Sends a GET request over a new connection, as the kubelet does, and returns the status.
async fn get(port: u16, path: &str) -> Result<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    // Read to the end, because the server sees an error if the connection closes during its answer.
    stream.take(LONGEST_ANSWER).read_to_end(&mut response).await?;
    let response = String::from_utf8_lossy(&response);
    let status = response.split_whitespace().nth(1).context("the connection was closed before a status line")?;
    Ok(status.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_enough_equal_results_in_a_row() {
        let mut streak = Streak::new(2, 3);
        let results = [true, true, false, true, false, false, false];
        let verdicts = results.map(|success| streak.observe(success));
        assert_eq!(verdicts, [None, Some(true), None, None, None, None, Some(false)]);
    }

    #[test]
    fn a_probe_of_a_named_port_finds_the_port_of_this_machine() -> Result<()> {
        let container: Container = serde_json::from_value(serde_json::json!({
            "name": "server",
            "ports": [{"name": "http", "containerPort": 8081}],
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 2},
        }))?;
        let probes = Probes::new(&container, |port| (port == 8081).then_some(20_001))?;
        let readiness = probes.readiness.context("no readiness probe")?;
        assert_eq!((readiness.port, readiness.path.as_str()), (20_001, "/readyz"));
        assert_eq!(readiness.period, Duration::from_secs(2));
        Ok(())
    }
}
