//! The memory of a process.

use std::fs;

use anyhow::{Context, Result};

/// Memory in KiB.
pub struct Memory {
    /// Resident memory now.
    pub resident: u64,
    /// The highest resident memory so far.
    pub peak: u64,
}

impl Memory {
    /// Reads the memory of a process from `/proc`.
    pub fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
            Ok(line.trim().trim_end_matches(" kB").parse()?)
        };
        Ok(Self { resident: kib("VmRSS:")?, peak: kib("VmHWM:")? })
    }
}
