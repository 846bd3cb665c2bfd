//! The flags of both forms of `undo`.

use clap::Args;

use crate::commands::{consent::YesArgs, dry_run::DryRunArgs};

/// How to undo.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct UndoFlags {
    /// Undo even if an autoscaler scales a target, or another tool manages its ReplicaCount
    #[arg(long)]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) yes: YesArgs,
    #[command(flatten)]
    pub(super) dry_run: DryRunArgs,
}
