//! `kubectl replicas unset`.

use clap::Args;
use contract::replicas::v1::{ReplicaCount, Target, UnsetReplicaCountRequest};

use super::{
    choice::ChoiceArgs,
    connect::connect,
    consent::{self, Question, YesArgs},
    dry_run::DryRunArgs,
    read,
    resolve::{self, Resolver},
    stored::StoredArgs,
    write::{self, Action, Write},
};
use crate::{
    args::ConnectionArgs,
    error::Error,
    interrupt,
    manifests::Manifest,
    output,
    program::in_text,
    session::Session,
    target::{self, TargetRef},
    words::{self, Kinds},
};

const EXAMPLES: &str = "\
Examples:
  # Let others change the count of the Deployment web again
  kubectl replicas unset web

  # Stop managing a StatefulSet, and restore the count that it had before
  kubectl replicas unset sts/db --restore

  # Stop managing everything in the namespace, and restore the counts from before
  kubectl replicas unset --all --restore";

/// Stop managing targets: keep their counts, or restore the ones from before
///
/// On a terminal, the command shows its plan and asks before it unsets several targets, or restores a count of 0. Without
/// a terminal there is no question: targets given by name are unset, and several targets chosen by --all, -A, -l or -f
/// need --yes. `undo` takes a command back.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES))]
pub(crate) struct UnsetArgs {
    /// Stop managing these: web, deploy/web, sts db; with --all, -A or -l only those of these kinds
    #[arg(value_name = "TARGET", conflicts_with = "filename")]
    targets: Vec<String>,
    #[command(flatten)]
    choice: ChoiceArgs,
    /// Restore the count that each target had before its first `set` or `adopt`
    #[arg(long)]
    restore: bool,
    /// Unset even if another tool manages the ReplicaCount; with --restore, even if an autoscaler scales the target
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    yes: YesArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    stored: StoredArgs,
}

/// What the arguments ask for.
enum Input {
    Named(Vec<TargetRef>),
    Chosen(Kinds),
    /// ReplicaCounts of a file.
    File(Vec<Manifest>),
}

/// Stops managing the targets. It checks all of the input before it sends the first request.
pub(crate) async fn run(args: UnsetArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let input = interrupt::guard("nothing was unset", input(&args)).await?;
    let prepare = async {
        let session = connect(connection).await?;
        let is_named = matches!(input, Input::Named(_));
        let writes = build(&session, &args, input, connection).await?;
        let question = Question { ask: "Unset", done: "unset", is_named, yes: args.yes.yes };
        consent::obtain(&session, &writes, question).await?;
        Ok((session, writes))
    };
    let (session, writes) = interrupt::guard("nothing was unset", prepare).await?;
    if writes.is_empty() {
        output::note(&args.choice.describe_empty("replica counts", &session.namespace));
        return Ok(());
    }
    let (mut lines, requested) = (args.stored.lines(), writes.len());
    let (unset, result) = write::make_all(&session, &mut lines, writes, "unset", None).await;
    args.stored.print(&mut lines, unset, requested);
    lines.end(result)
}

/// Reads the words, or the file.
async fn input(args: &UnsetArgs) -> Result<Input, Error> {
    let kinds = args.choice.kinds(&args.targets)?;
    Ok(match (args.choice.read_file().await?, kinds) {
        (Some(manifests), _) => Input::File(manifests),
        (None, Some(kinds)) => Input::Chosen(kinds),
        (None, None) => Input::Named(words::parse(&args.targets)?),
    })
}

/// Builds the write to each target.
async fn build(
    session: &Session,
    args: &UnsetArgs,
    input: Input,
    connection: &ConnectionArgs,
) -> Result<Vec<Write>, Error> {
    let targets = match input {
        Input::Chosen(kinds) => {
            let counts = args.choice.list(session, kinds, false).await?;
            let write =
                |count: ReplicaCount| unset(session, args, count.target.clone().unwrap_or_default(), Some(count));
            return Ok(counts.into_iter().map(write).collect());
        }
        Input::Named(names) => {
            resolve::check_first_word(session, &args.targets).await?;
            let resolver = Resolver::new(session, session.namespace.clone());
            let mut targets = Vec::with_capacity(names.len());
            for name in names {
                targets.push(resolver.target(&name).await?);
            }
            targets
        }
        Input::File(mut manifests) => {
            args.choice.place(&mut manifests, connection, session)?;
            manifests.into_iter().map(|manifest| manifest.target).collect()
        }
    };
    let before = async |target: &Target| match args.dry_run.dry_run {
        true => Ok(None),
        false => read::before(session, target, false).await,
    };
    let befores = read::each(&targets, before).await?;
    Ok(targets.into_iter().zip(befores).map(|(target, before)| unset(session, args, target, before)).collect())
}

fn unset(session: &Session, args: &UnsetArgs, target: Target, before: Option<ReplicaCount>) -> Write {
    let request =
        UnsetReplicaCountRequest { restore: args.restore, force: args.force, ..UnsetReplicaCountRequest::default() };
    Write {
        name: target::shown(&target, &session.namespace),
        target,
        before,
        action: Action::Unset(request),
        is_guarded: false,
        dry_run: args.dry_run.dry_run,
    }
}
