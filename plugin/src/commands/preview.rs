//! What writes would lead to, as the server answers to dry runs of them.

use contract::replicas::v1::{SetReplicaCountRequest, UnsetReplicaCountRequest};
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    batch,
    write::{Action, Write, start_from},
};
use crate::{
    error::Error,
    session::{CallError, Session},
};

/// What a write would lead to.
#[derive(Clone, Debug, Default)]
pub(super) struct Preview {
    /// The count that the target has, in replicas.
    pub(super) now: Option<i32>,
    /// The count that the target gets, in replicas.
    pub(super) new: Option<i32>,
    /// Why the write would fail.
    pub(super) problem: Option<String>,
    /// What else the server says.
    pub(super) notes: Vec<String>,
}

/// Looks at all writes. Only a lost connection is an error.
pub(super) async fn all(session: &Session, writes: &[Write]) -> Result<Vec<Preview>, Error> {
    stream::iter(writes).map(|write| of_write(session, write)).buffered(batch::AT_ONCE).try_collect().await
}

async fn of_write(session: &Session, write: &Write) -> Result<Preview, Error> {
    let before = write.before.clone().unwrap_or_default();
    let known = |new| Preview { now: before.observed, new, ..Preview::default() };
    let (preview, answer) = match &write.action {
        Action::Set(request) => (known(request.replicas), set(session, write, request.clone()).await),
        Action::Relative(count, request) => match start_from(&before, *count, request, &write.name) {
            Ok(request) => (known(request.replicas), set(session, write, request).await),
            Err(error) => return Ok(Preview { problem: Some(error.to_string()), ..known(None) }),
        },
        Action::Keep => return Ok(Preview { notes: vec!["unchanged".to_owned()], ..known(before.observed) }),
        Action::Unset(request) => {
            let restored = before.original_replicas.filter(|_| request.restore);
            (known(restored.or(before.observed)), unset(session, write, request.clone()).await)
        }
    };
    match answer {
        Ok(answer) => Ok(Preview { now: answer.now.or(preview.now), new: answer.new.or(preview.new), ..answer }),
        Err(error @ CallError::Refused(_)) => Ok(Preview { problem: Some(error.to_string()), ..preview }),
        Err(error) => Err(error.into()),
    }
}

async fn set(session: &Session, write: &Write, request: SetReplicaCountRequest) -> Result<Preview, CallError> {
    let request = SetReplicaCountRequest { target: Some(write.target.clone()), dry_run: true, ..request };
    let response = session.answer(session.client.clone().set_replica_count(request)).await?;
    let count = response.replica_count.unwrap_or_default();
    let mut notes = response.warnings;
    notes.extend(response.unchanged.then(|| "unchanged".to_owned()));
    Ok(Preview { now: count.observed, new: count.desired, problem: None, notes })
}

async fn unset(session: &Session, write: &Write, request: UnsetReplicaCountRequest) -> Result<Preview, CallError> {
    let request = UnsetReplicaCountRequest { target: Some(write.target.clone()), dry_run: true, ..request };
    let response = session.answer(session.client.clone().unset_replica_count(request)).await?;
    let now = response.replica_count.unwrap_or_default().observed;
    Ok(Preview { now, new: response.restored.or(now), problem: None, notes: response.warnings })
}
