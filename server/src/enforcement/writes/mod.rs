//! The writes of enforcement: each makes its requests within a deadline, and returns the result.

mod admission_probe;
mod correction;
mod events;
mod fence_probe;
mod ownership;
pub mod scale;
mod status;
mod target_metadata;

pub use self::{
    admission_probe::{AdmissionProbe, ProbeAnswer, ProbeWrite},
    correction::{CorrectionAnswer, Corrector},
    events::{Announcer, EventWrite, Regarding, end_event, event_writes},
    ownership::{OwnershipAnswer, OwnershipPatcher},
    status::{StatusAnswer, StatusWrite, StatusWriter},
};
