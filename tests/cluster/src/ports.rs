//! Free TCP ports on loopback.

use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};

/// Below Linux's ephemeral range (32768 and up), so that no outgoing connection takes a port between its choice here
/// and the start, or the restart, of the program it is for.
const RANGE: std::ops::Range<u32> = 10_000..32_000;

/// Processes that start at once look in different places.
const STRIDE: u32 = 131;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Returns a port that is free on 127.0.0.1 and that this process has not handed out lately.
///
/// # Errors
///
/// If no port of the range is free.
pub fn free() -> Result<u16> {
    let size = RANGE.end - RANGE.start;
    let origin = process::id().wrapping_mul(STRIDE);
    for _ in 0..size {
        let offset = origin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % size;
        let port = u16::try_from(RANGE.start + offset)?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {} to {} is free on 127.0.0.1", RANGE.start, RANGE.end - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_hands_out_the_same_port_twice_in_a_row() -> Result<()> {
        assert_ne!(free()?, free()?);
        Ok(())
    }
}
