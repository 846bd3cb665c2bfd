//! `kubectl replicas unset`.

use clap::Args;
use futures::{StreamExt, stream};
use replica_count_manager::proto::replicas::v1::{Target, UnsetReplicaCountRequest, UnsetReplicaCountResponse};

use super::batch;
use crate::{
    args::ConnectionArgs,
    connect::Session,
    error::Error,
    target::{self, TargetRef},
};

const EXAMPLES: &str = "\
Examples:
  # Let others change the count of the Deployment web again
  kubectl replicas unset web

  # Stop managing a StatefulSet, and put back the count that it had before
  kubectl replicas unset sts/db --restore";

/// Stop managing targets, and leave their counts as they are
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UnsetArgs {
    /// Stop managing these: web, deploy/web, sts/db, rollouts.argoproj.io/x
    #[arg(value_name = "TARGET", required = true)]
    targets: Vec<String>,
    /// Put back the count that each had before it was managed
    #[arg(long)]
    restore: bool,
    /// Unset although another tool owns the ReplicaCount
    #[arg(long)]
    force: bool,
    /// Check everything on the server, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Stops managing targets.
pub(super) async fn run(args: UnsetArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let names = args.targets.iter().map(|word| word.parse()).collect::<Result<Vec<TargetRef>, _>>()?;
    let session = Session::open(connection).await?;
    let mut targets = Vec::with_capacity(names.len());
    for name in &names {
        targets.push(session.resolve(name).await?);
    }
    let results = stream::iter(&targets).map(|target| unset(&session, &args, target)).buffered(batch::AT_ONCE);
    batch::run(results, targets.len(), "unset").await.1
}

async fn unset(session: &Session, args: &UnsetArgs, target: &Target) -> (String, Result<(String, ()), Error>) {
    let name = target::name(target);
    let request = UnsetReplicaCountRequest {
        target: Some(target.clone()),
        restore: args.restore,
        force: args.force,
        dry_run: args.dry_run,
    };
    let response = session.answer(session.client.clone().unset_replica_count(request)).await;
    let result = response.map(|response| (line(&name, &response, args.dry_run), ()));
    (name, result)
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
    use replica_count_manager::proto::replicas::v1::ReplicaCount;

    use super::*;

    #[test]
    fn the_line_says_what_was_and_what_was_put_back() {
        let count = ReplicaCount { desired: Some(3), ..ReplicaCount::default() };
        let response = UnsetReplicaCountResponse { replica_count: Some(count), ..UnsetReplicaCountResponse::default() };
        assert_eq!(line("deployment.apps/web", &response, false), "deployment.apps/web unset (was 3)\n");
        let restored = UnsetReplicaCountResponse { restored: Some(2), ..response };
        assert_eq!(line("x", &restored, true), "x unset, put back to 2 (was 3) (server dry run)\n");
    }
}
