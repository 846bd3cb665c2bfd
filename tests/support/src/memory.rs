//! What a process holds of the machine's memory.

use std::fs;

use anyhow::{Context, Result};

/// The memory of a process, in KiB.
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// At most, up to now.
    pub peak: u64,
}

impl Memory {
    /// Asks the operating system.
    pub fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
            Ok(line.trim().trim_end_matches(" kB").parse()?)
        };
        Ok(Self { resident: kib("VmRSS:")?, peak: kib("VmHWM:")? })
    }
}
