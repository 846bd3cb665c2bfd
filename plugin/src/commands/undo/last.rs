//! Takes back the last command of the user as a whole, or drops it from the log.

use contract::replicas::v1::{ReplicaCount, SetReplicaCountRequest, UnsetReplicaCountRequest};
use jiff::Timestamp;

use super::flags::UndoFlags;
use crate::{
    args::ConnectionArgs,
    commands::{
        connect::connect,
        consent::{self, Question},
        follow::newest,
        journal, read,
        write::{self, Action, Write},
    },
    error::Error,
    interrupt,
    operations::{
        self, Operation, State, TargetChange, last, log,
        reversal::{self, Reversal},
    },
    output::{self, Lines, printable},
    session::{CallError, Session},
    target,
    time::distance,
};

/// The most refusals that an error lists: more do not fit on a screen.
const MAX_REFUSALS: usize = 20;

pub(super) async fn run(flags: UndoFlags, connection: &ConnectionArgs) -> Result<(), Error> {
    let operations = log::load_own()?;
    let prepare = async {
        let session = connect(connection).await?;
        let operation = find(&session, &operations).await?;
        let targets: Vec<_> = operation.targets.iter().map(TargetChange::target).collect();
        let present = read::since(&session, &targets, newest_version(&operation)).await;
        let present = present.map_err(|error| explain(&operation, error.into()))?;
        let writes = plan(&session, flags, &operation, present, Timestamp::now())?;
        let age = distance(operation.at, Timestamp::now());
        output::note(&format!("undo of `{}`, {age} ago", operation.command));
        let question = Question { ask: "Undo the change of", done: "undone", is_named: false, yes: flags.yes.yes };
        consent::obtain(&session, &writes, question).await?;
        Ok((session, operation, writes))
    };
    let (session, operation, writes) = interrupt::guard("nothing was undone", prepare).await?;
    let mut lines = Lines::default();
    let (_, result) = write::make_all(&session, &mut lines, writes, "undone", Some(operation.number)).await;
    lines.end(result.map_err(|error| explain(&operation, error)))
}

/// Drops the operation that would be undone next from the log.
pub(super) async fn skip(connection: &ConnectionArgs) -> Result<(), Error> {
    let operations = log::load_own()?;
    let find = async { find(&connect(connection).await?, &operations).await };
    let operation = interrupt::guard("nothing was dropped", find).await?;
    log::drop_own(operation.number)?;
    let age = distance(operation.at, Timestamp::now());
    Ok(output::print(&format!("`{}`, {age} ago, dropped from the log\n", printable(&operation.command)))?)
}

/// Finds the operation that is undone next.
async fn find(session: &Session, operations: &[Operation]) -> Result<Operation, Error> {
    let cluster = journal::identify(session).await?;
    Ok(last::find(operations, &cluster, &session.user).ok_or(operations::Error::NoOperation)?)
}

/// Says of a refusal that it is in the way of earlier commands, too.
fn explain(operation: &Operation, error: Error) -> Error {
    match error {
        Error::Call(CallError::Refused(_)) | Error::Incomplete { .. } => Error::NotUndone {
            command: operation.command.clone(),
            age: distance(operation.at, Timestamp::now()),
            source: Box::new(error),
        },
        error => error,
    }
}

/// Builds the writes that take an operation back. It refuses all of them if one target was changed since.
fn plan(
    session: &Session,
    flags: UndoFlags,
    operation: &Operation,
    present: Vec<ReplicaCount>,
    now: Timestamp,
) -> Result<Vec<Write>, operations::Error> {
    let (mut writes, mut refusals) = (Vec::new(), Vec::new());
    for (change, present) in operation.targets.iter().zip(present) {
        match reversal::of(change, &present, now) {
            Ok(reversal) => writes.push(write(session, flags, change, present, reversal)),
            Err(refusal) => refusals.push(refusal),
        }
    }
    if refusals.is_empty() {
        return Ok(writes);
    }
    let rest = refusals.len().saturating_sub(MAX_REFUSALS);
    refusals.truncate(MAX_REFUSALS);
    refusals.extend((rest > 0).then(|| format!("and {rest} more")));
    let command = operation.command.clone();
    Err(operations::Error::Refused { command, age: distance(operation.at, now), refusals })
}

fn write(
    session: &Session,
    flags: UndoFlags,
    change: &TargetChange,
    present: ReplicaCount,
    reversal: Reversal,
) -> Write {
    let action = match reversal {
        Reversal::Set(request) => Action::Set(SetReplicaCountRequest { force: flags.force, ..*request }),
        Reversal::Nothing => Action::Keep,
        Reversal::Unset { restore } => Action::Unset(UnsetReplicaCountRequest {
            restore,
            force: flags.force,
            ..UnsetReplicaCountRequest::default()
        }),
    };
    let target = change.target();
    Write {
        name: target::shown(&target, &session.namespace),
        target,
        before: Some(present),
        action,
        is_guarded: true,
        dry_run: flags.dry_run.dry_run,
    }
}

/// The newest resource version that an operation has led to. A read that is as new shows the operation.
fn newest_version(operation: &Operation) -> String {
    let versions = operation.targets.iter().filter_map(|change| match &change.after {
        State::Managed(held) => Some(held.resource_version.as_str()),
        State::Unmanaged(_) | State::Unknown => None,
    });
    newest(versions)
}
