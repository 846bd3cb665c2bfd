//! `kubectl replicas adopt`.

use clap::Args;
use contract::replicas::v1::{ReplicaCount, SetReplicaCountRequest};

use super::{
    connect::connect,
    consent::{self, Question, YesArgs},
    dry_run::DryRunArgs,
    own_server,
    preview::{self, Preview},
    selection::SelectionArgs,
    write::{self, Action, Write},
};
use crate::{
    args::ConnectionArgs,
    error::Error,
    interrupt,
    output::{
        self, Lines,
        plan::{self, Row},
    },
    program::in_text,
    session::Session,
    target,
};

const EXAMPLES: &str = "\
Examples:
  # See what would be held in the namespace, and what speaks against it
  kubectl replicas adopt --dry-run

  # Hold everything in all namespaces that has a label at its current count
  kubectl replicas adopt -A -l team=shop

  # Hold the StatefulSets of the namespace shop, in a script
  kubectl replicas adopt sts -n shop --yes

  # Take it back
  kubectl replicas undo";

/// Hold all targets of the namespace that are not managed yet at their current counts
///
/// First it shows each of them with its count. Targets with an autoscaler, an operator or another warning are left as
/// they are; the preview says why, and `set --current` holds such a target all the same. Then it asks, and holds the
/// rest. No count changes. Without a terminal, it needs --yes.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES))]
pub(crate) struct AdoptArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    yes: YesArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Holds the targets at their current counts.
pub(crate) async fn run(args: AdoptArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let words = args.selection.parse(&[])?;
    args.selection.check_selector(&words)?;
    let prepare = async {
        let session = connect(connection).await?;
        let listed = SelectionArgs::settle(&session, words).await?;
        let selected = args.selection.read(&session, listed, true, "read").await?;
        selected.result?;
        let writes: Vec<_> = selected.counts.into_iter().filter_map(|count| hold(&session, count)).collect();
        let mut previews = preview::all(&session, &writes).await?;
        let namespace = args.selection.namespace(&session);
        own_server::add_objections(&session, namespace, &writes, &mut previews).await?;
        show(&args, &session, &writes, &previews)?;
        let (all, writes) = (writes.len(), without_objections(writes, &previews));
        if !writes.is_empty() && !args.dry_run.dry_run {
            let question = Question { ask: "Hold", done: "held", is_named: false, yes: args.yes.yes };
            consent::obtain_for_shown(&writes, question).await?;
        }
        Ok((session, all, writes))
    };
    let (session, all, writes) = interrupt::guard("nothing was held", prepare).await?;
    match (all, writes.len()) {
        (0, _) => output::note(&args.selection.describe_empty("unmanaged targets", &session.namespace)),
        (all, held) if args.dry_run.dry_run => output::note(&format!("{held} of {all} targets would be held")),
        (_, 0) => output::note("There is no target to hold."),
        _ => {
            let mut lines = Lines::default();
            let (_, result) = write::make_all(&session, &mut lines, writes, "held", None).await;
            return lines.end(result);
        }
    }
    Ok(())
}

/// Builds the write that holds a target at its count. A managed target needs none.
fn hold(session: &Session, count: ReplicaCount) -> Option<Write> {
    if count.desired.is_some() {
        return None;
    }
    let target = count.target.clone().unwrap_or_default();
    let request = SetReplicaCountRequest {
        current: true,
        expected_replicas: count.observed,
        ..SetReplicaCountRequest::default()
    };
    Some(Write {
        name: target::shown(&target, &session.namespace),
        target,
        before: Some(count),
        action: Action::Set(request),
        is_guarded: true,
        dry_run: false,
    })
}

fn has_objection(preview: &Preview) -> bool {
    preview.problem.is_some() || !preview.notes.is_empty()
}

fn without_objections(writes: Vec<Write>, previews: &[Preview]) -> Vec<Write> {
    let pairs = writes.into_iter().zip(previews);
    pairs.filter(|(_, preview)| !has_objection(preview)).map(|(write, _)| write).collect()
}

/// Shows the preview: on stdout if it is all that the user wants, else beside the question.
fn show(args: &AdoptArgs, session: &Session, writes: &[Write], previews: &[Preview]) -> Result<(), Error> {
    if writes.is_empty() {
        return Ok(());
    }
    let row = |(write, preview): (&Write, &Preview)| {
        let row = consent::row(write, preview);
        Row { new: row.now.filter(|_| !has_objection(preview)), ..row }
    };
    let rows: Vec<_> = writes.iter().zip(previews).map(row).collect();
    let is_elsewhere = rows.iter().any(|row| row.namespace != session.namespace);
    let draw = |width| plan::plan(&rows, ["COUNT", "HELD AT"], is_elsewhere, width);
    match args.dry_run.dry_run {
        true => output::print(&draw(None))?,
        false => output::note(draw(output::error_terminal_width()).trim_end()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_warns_of_is_left_as_it_is() {
        let write = |name: &str| Write {
            name: name.to_owned(),
            target: contract::replicas::v1::Target::default(),
            before: None,
            action: Action::Set(SetReplicaCountRequest::default()),
            is_guarded: true,
            dry_run: false,
        };
        let refused = Preview { problem: Some("an autoscaler scales it".to_owned()), ..Preview::default() };
        let warned = Preview { notes: vec!["an operator controls it".to_owned()], ..Preview::default() };
        let writes = ["free", "scaled", "controlled"].map(write).to_vec();
        let kept = without_objections(writes, &[Preview::default(), refused, warned]);
        assert_eq!(kept.iter().map(|write| write.name.as_str()).collect::<Vec<_>>(), ["free"]);
    }
}
