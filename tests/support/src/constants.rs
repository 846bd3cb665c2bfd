//! Constants that most files need.

use std::time::Duration;

/// The root of the repository.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The timeout of every wait. It is generous because machines that run tests are often loaded far beyond their cores.
pub const PATIENCE: Duration = Duration::from_secs(60);
