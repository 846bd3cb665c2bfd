//! The machine and the versions that the figures depend on.

use std::{fs, thread};

use anyhow::{Context, Result};
use cluster::{Tool, Tools, run};
use jiff::Zoned;
use tokio::process::Command;

use crate::report::Table;

/// A table of the date, the versions and the machine.
pub(crate) async fn table() -> Result<Table> {
    let tools = Tools::ready()?;
    let memory = field("/proc/meminfo", "MemTotal:")?.trim_end_matches(" kB").parse::<u64>()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let system = field("/etc/os-release", "PRETTY_NAME=")?;
    let etcd = run(Command::new(tools.path(Tool::Etcd)).arg("--version")).await?;
    let kubernetes = run(Command::new(tools.path(Tool::KubeApiserver)).arg("--version")).await?;
    let rust = run(Command::new("rustc").arg("--version")).await?;
    let rows = [
        ("date", Zoned::now().date().to_string()),
        ("replica-count-manager", env!("CARGO_PKG_VERSION").to_owned()),
        ("Kubernetes", kubernetes.trim_start_matches("Kubernetes").trim().to_owned()),
        ("etcd", etcd.lines().next().unwrap_or_default().trim_start_matches("etcd Version:").trim().to_owned()),
        ("Rust", rust.split(' ').nth(1).unwrap_or_default().to_owned()),
        ("CPU", format!("{}, {} cores", field("/proc/cpuinfo", "model name")?, thread::available_parallelism()?)),
        ("memory", format!("{:.0} GiB", memory as f64 / 1024.0 / 1024.0)),
        ("system", format!("{system}, Linux {}", kernel.trim())),
    ];
    let rows = rows.map(|(name, value)| vec![name.to_owned(), value]);
    Ok(Table { head: vec!["", ""], rows: rows.into() })
}

/// The value of the first line with this start.
fn field(file: &str, start: &str) -> Result<String> {
    let text = fs::read_to_string(file)?;
    let value = text.lines().find_map(|line| line.strip_prefix(start));
    let value = value.with_context(|| format!("no {start} in {file}"))?;
    Ok(value.trim_matches(|c: char| c.is_whitespace() || c == ':' || c == '"').to_owned())
}
