//! A network path that can swallow packets.

use anyhow::{Context, Result};
use cluster::run;
use tokio::process::Command;

/// A network namespace, and the way from there to this machine. It ends with this value.
pub struct NetworkPath {
    /// The name of the network namespace.
    pub name: String,
}

impl NetworkPath {
    /// The address of this machine, on the way.
    pub const HERE: &str = "10.213.7.1";
    const THERE: &str = "10.213.7.2";

    /// Makes the namespace and the way.
    pub async fn new() -> Result<Self> {
        let path = Self { name: format!("rcm-{}", std::process::id()) };
        let name = &path.name;
        for line in [
            format!("netns add {name}"),
            format!("link add rcm-here type veth peer name rcm-there netns {name}"),
            format!("address add {}/30 dev rcm-here", Self::HERE),
            "link set rcm-here up".into(),
            format!("-n {name} address add {}/30 dev rcm-there", Self::THERE),
            format!("-n {name} link set rcm-there up"),
            format!("-n {name} link set lo up"),
        ] {
            ip(&line).await?;
        }
        Ok(path)
    }

    /// Sends all packets from there to an address that nobody has: they vanish, without an answer.
    pub async fn swallow(&self) -> Result<()> {
        let neighbor = format!("{} lladdr 02:00:00:00:00:99 dev rcm-there nud permanent", Self::HERE);
        ip(&format!("-n {} neighbor replace {neighbor}", self.name)).await
    }

    /// Lets packets through again.
    pub async fn repair(&self) -> Result<()> {
        ip(&format!("-n {} neighbor delete {} dev rcm-there", self.name, Self::HERE)).await
    }

    /// Sends a GET request from there, and returns the body.
    pub async fn get(&self, url: &str) -> Result<String> {
        run(Command::new("ip").args(["netns", "exec", &self.name, "curl", "--silent", url])).await
    }
}

impl Drop for NetworkPath {
    fn drop(&mut self) {
        let _ = std::process::Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

async fn ip(line: &str) -> Result<()> {
    run(Command::new("ip").args(line.split(' '))).await.context("this test needs root and iproute2").map(drop)
}
