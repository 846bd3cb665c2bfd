//! The writes of the server to targets.

pub mod scale;
