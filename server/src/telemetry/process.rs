//! Metrics of the process, with the names that dashboards know. Without `/proc`, there are none.

use std::{fmt, fs, io};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

/// Reads `/proc/self` at each scrape.
#[derive(Debug)]
pub(super) struct Process;

/// Some fields of `/proc/self/stat`, in its own units.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    /// Since the boot of the machine.
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    /// The fields follow the name of the program, which is in brackets and may hold brackets itself.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<_> = rest.split_whitespace().collect();
        // proc(5) numbers the fields from 1; the first one here is its third.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// When the machine booted, in seconds since 1970.
fn boot_time(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn read() -> io::Result<(Option<Stat>, Option<u64>, u64)> {
    let stat = Stat::parse(&fs::read_to_string("/proc/self/stat")?);
    let boot = boot_time(&fs::read_to_string("/proc/stat")?);
    // Minus the folder itself, which is open while it is read.
    let files = fs::read_dir("/proc/self/fd")?.count().saturating_sub(1);
    Ok((stat, boot, files as u64))
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Ok((Some(stat), Some(boot), files)) = read() else { return Ok(()) };
        let ticks = clock_ticks_per_second() as f64;
        let cpu = ConstCounter::new(stat.cpu_ticks as f64 / ticks);
        let help = "CPU time that the process has used.";
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, cpu.metric_type())?)?;
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        for (name, help, value) in [
            (
                "process_start_time_seconds",
                "When the process started, in seconds since 1970.",
                boot as f64 + stat.start_ticks as f64 / ticks,
            ),
            (
                "process_resident_memory_bytes",
                "Memory of the process in RAM.",
                (stat.resident_pages * page_size() as u64) as f64,
            ),
            ("process_virtual_memory_bytes", "Address space of the process.", stat.virtual_bytes as f64),
            ("process_open_fds", "Files and connections that the process has open.", files as f64),
            ("process_max_fds", "How many it may have open.", limit as f64),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_whose_name_holds_brackets_is_read() {
        let text = "7 (a) b) S 1 2 3 0 -1 4194560 10 20 30 40 250 50 60 70 20 0 9 0 1234 1048576 99 184467 0";
        let stat = Stat { cpu_ticks: 300, start_ticks: 1234, virtual_bytes: 1_048_576, resident_pages: 99 };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("7 (short) S 1"), None);
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\nprocesses 5\n"), Some(1_700_000_000));
    }
}
