//! Free TCP ports on loopback.

use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};

/// The ports are below Linux's ephemeral range, which starts at 32768. So an outgoing connection cannot take a port
/// before its program starts or restarts.
const RANGE: std::ops::Range<u32> = 10_000..32_000;

/// Spreads the first port of concurrent processes over the range.
const STRIDE: u32 = 131;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Returns a port that is free on 127.0.0.1 and that this process has not returned lately.
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
