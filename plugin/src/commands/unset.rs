//! `kubectl replicas unset`.

use clap::Args;
use contract::replicas::v1::{ReplicaCount, Target, UnsetReplicaCountRequest, UnsetReplicaCountResponse};

use super::{batch, connect::connect, dry_run::DryRunArgs, stored::StoredArgs};
use crate::{
    args::ConnectionArgs,
    error::Error,
    interrupt,
    output::{self, printable},
    program::in_text,
    session::Session,
    target, words,
};

const EXAMPLES: &str = "\
Examples:
  # Let others change the count of the Deployment web again
  kubectl replicas unset web

  # Stop managing a StatefulSet, and restore the count that it had before
  kubectl replicas unset sts/db --restore";

/// Stop managing targets, and leave their counts as they are
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES))]
pub(crate) struct UnsetArgs {
    /// Stop managing these: web, deploy/web, sts db, rollouts.argoproj.io/web
    #[arg(value_name = "TARGET", required = true)]
    targets: Vec<String>,
    /// Restore the count that each target had before it was managed
    #[arg(long)]
    restore: bool,
    /// Unset even if another tool manages the ReplicaCount; with --restore, even if an autoscaler scales the target
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    stored: StoredArgs,
}

/// Stops managing the targets.
pub(crate) async fn run(args: UnsetArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let names = words::parse(&args.targets)?;
    let prepare = async {
        let session = connect(connection).await?;
        let mut targets = Vec::with_capacity(names.len());
        for name in &names {
            let target = session.resolve(name).await?;
            targets.push((target::name(&target), target));
        }
        Ok((session, targets))
    };
    let (session, targets) = interrupt::guard("nothing was unset", prepare).await?;
    let (mut lines, requested) = (args.stored.lines(), targets.len());
    let (unset, result) = batch::run(&mut lines, targets, "unset", |target| unset(&session, &args, target)).await;
    args.stored.print(&mut lines, unset.into_iter().flatten().collect(), requested);
    lines.end(result)
}

async fn unset(session: &Session, args: &UnsetArgs, target: Target) -> Result<(String, Option<ReplicaCount>), Error> {
    let name = target::name(&target);
    let dry_run = args.dry_run.dry_run;
    let request = UnsetReplicaCountRequest {
        target: Some(target),
        restore: args.restore,
        force: args.force,
        dry_run,
        ..UnsetReplicaCountRequest::default()
    };
    let response = session.answer(session.client.clone().unset_replica_count(request)).await;
    match response {
        Ok(response) => {
            for warning in &response.warnings {
                output::note(&format!("warning: {name}: {}", printable(warning)));
            }
            Ok((line(&name, &response, dry_run), response.replica_count))
        }
        Err(error) if dry_run => Err(error.into()),
        Err(error) => Err(Error::of_write(error, &name, "unset")),
    }
}

fn line(name: &str, response: &UnsetReplicaCountResponse, dry_run: bool) -> String {
    let desired = response.replica_count.as_ref().and_then(|count| count.desired);
    let was = desired.map(|desired| format!(" (was {desired})")).unwrap_or_default();
    let restored = response.restored.map(|restored| format!(", put back to {restored}")).unwrap_or_default();
    let dry = if dry_run { " (server dry run)" } else { "" };
    format!("{name} unset{restored}{was}{dry}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_the_previous_and_the_restored_count() {
        let count = ReplicaCount { desired: Some(3), ..ReplicaCount::default() };
        let response = UnsetReplicaCountResponse { replica_count: Some(count), ..UnsetReplicaCountResponse::default() };
        assert_eq!(line("deployment.apps/web", &response, false), "deployment.apps/web unset (was 3)\n");
        let restored = UnsetReplicaCountResponse { restored: Some(2), ..response };
        assert_eq!(line("x", &restored, true), "x unset, put back to 2 (was 3) (server dry run)\n");
    }
}
