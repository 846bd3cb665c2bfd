//! Goes back to a lasting count in the history of a target.

use contract::replicas::v1::SetReplicaCountRequest;
use jiff::Timestamp;

use super::flags::UndoFlags;
use crate::{
    args::ConnectionArgs,
    commands::{
        connect::connect,
        consent::{self, Question},
        resolve,
        write::{self, Action, Write},
    },
    error::Error,
    interrupt,
    operations::past::{self, Goal},
    output::Lines,
    target::{self, TargetRef},
};

pub(super) async fn run(
    flags: UndoFlags,
    goal: Goal,
    named: &TargetRef,
    connection: &ConnectionArgs,
) -> Result<(), Error> {
    let prepare = async {
        let session = connect(connection).await?;
        let present = resolve::read_named(&session, named).await?;
        let past = past::find(&present, goal, Timestamp::now())?;
        let target = present.target.clone().unwrap_or_default();
        let request = SetReplicaCountRequest {
            replicas: Some(past.replicas),
            reason: past.reason,
            replace_reason: true,
            force: flags.force,
            // A target that is missing is held, too.
            allow_missing: present.observed.is_none(),
            ..SetReplicaCountRequest::default()
        };
        let writes = vec![Write {
            name: target::shown(&target, &session.namespace),
            target,
            before: Some(present),
            action: Action::Set(request),
            is_guarded: true,
            dry_run: flags.dry_run.dry_run,
        }];
        let question = Question { ask: "Undo the change of", done: "undone", is_named: true, yes: flags.yes.yes };
        consent::obtain(&session, &writes, question).await?;
        Ok((session, writes))
    };
    let (session, writes) = interrupt::guard("nothing was undone", prepare).await?;
    let mut lines = Lines::default();
    let (_, result) = write::make_all(&session, &mut lines, writes, "undone", None).await;
    lines.end(result)
}
