//! The writes of a Set, built from the arguments.

use contract::replicas::v1::{GetServerInfoRequest, SetReplicaCountRequest, Target};
use jiff::Timestamp;

use crate::{
    assignment::Assignment,
    commands::{
        choice::ChoiceArgs,
        own_server, read,
        resolve::Resolver,
        write::{Action, Write, count_before},
    },
    count::Count,
    error::Error,
    manifests::Manifest,
    session::Session,
    target,
    words::Kinds,
};

/// What the arguments ask for.
pub(super) enum Input {
    Named(Vec<Assignment>),
    Chosen(Kinds, Count),
    /// ReplicaCounts of a file.
    File(Vec<Manifest>),
}

/// The request that the flags describe, without a target and a count.
pub(super) struct Wanted {
    pub(super) base: SetReplicaCountRequest,
    pub(super) dry_run: bool,
}

/// Builds the write to each target.
pub(super) async fn build(
    session: &Session,
    choice: &ChoiceArgs,
    input: Input,
    Wanted { base, dry_run }: &Wanted,
) -> Result<Vec<Write>, Error> {
    let write = |target: Target, before, action, is_guarded| Write {
        name: target::shown(&target, &session.namespace),
        target,
        before,
        action,
        is_guarded,
        dry_run: *dry_run,
    };
    match input {
        Input::Named(assignments) => {
            let resolver = Resolver::new(session, session.namespace.clone());
            let mut targets = Vec::with_capacity(assignments.len());
            for Assignment { target, count } in assignments {
                targets.push((resolver.target(&target).await?, count));
            }
            let before = async |(target, count): &(Target, Count)| match *dry_run && !count.is_relative() {
                true => Ok(None),
                false => read::before(session, target, count.is_relative()).await,
            };
            let befores = read::each(&targets, before).await?;
            let writes = targets
                .into_iter()
                .zip(befores)
                .map(|((target, count), before)| write(target, before, action(count, base), count.is_relative()));
            Ok(writes.collect())
        }
        Input::Chosen(kinds, count) => {
            let counts = choice.list(session, kinds, true).await?;
            let counts = own_server::leave_out(session, choice.namespace(session), counts).await?;
            let writes = counts.into_iter().map(|before| {
                let target = before.target.clone().unwrap_or_default();
                write(target, Some(before), action(count, base), count.is_relative())
            });
            Ok(writes.collect())
        }
        Input::File(manifests) => {
            let before = async |manifest: &Manifest| read::before(session, &manifest.target, false).await;
            let befores = read::each(&manifests, before).await?;
            let now = Timestamp::now();
            let writes = manifests.into_iter().zip(befores).map(|(Manifest { target, spec }, before)| {
                let request = SetReplicaCountRequest {
                    allow_missing: base.allow_missing,
                    force: base.force,
                    ..spec.request(now)
                };
                write(target, before, Action::Set(request), false)
            });
            Ok(writes.collect())
        }
    }
}

fn action(count: Count, base: &SetReplicaCountRequest) -> Action {
    match count {
        Count::Exactly(replicas) => Action::Set(SetReplicaCountRequest { replicas: Some(replicas), ..base.clone() }),
        Count::Current => Action::Set(SetReplicaCountRequest { current: true, ..base.clone() }),
        relative => Action::Relative(relative, base.clone()),
    }
}

/// Refuses a count above the server's limit before anything is set.
pub(super) async fn check_limit(session: &Session, writes: &[Write]) -> Result<(), Error> {
    let info = session.answer(session.client.clone().get_server_info(GetServerInfoRequest {})).await?;
    let too_many = writes.iter().find_map(|write| Some((write, largest(write).filter(|it| *it > info.max_replicas)?)));
    match too_many {
        None => Ok(()),
        Some((write, replicas)) => {
            Err(Error::TooMany { target: write.name.clone(), replicas, most: info.max_replicas })
        }
    }
}

/// The largest count of a write, if it is known.
fn largest(write: &Write) -> Option<i32> {
    match &write.action {
        Action::Set(request) => request.replicas.max(request.lasting_replicas),
        Action::Relative(count, _) => write.before.as_ref().and_then(count_before).and_then(|read| count.beside(read)),
        Action::Unset(_) | Action::Keep => None,
    }
}

#[cfg(test)]
mod tests {
    use contract::replicas::v1::ReplicaCount;

    use super::*;

    #[test]
    fn the_largest_count_of_a_write_is_known_before_the_first_request() {
        let base = SetReplicaCountRequest::default;
        let exactly = SetReplicaCountRequest { replicas: Some(3), lasting_replicas: Some(7), ..base() };
        let before = |desired, observed| Some(ReplicaCount { desired, observed, ..ReplicaCount::default() });
        let twice = || Action::Relative(Count::Times(2), base());
        for (name, action, before, expected) in [
            ("a count and the lasting one", Action::Set(exactly), None, Some(7)),
            ("twice the desired count", twice(), before(Some(9), Some(1)), Some(18)),
            ("twice the count that is there", twice(), before(None, Some(4)), Some(8)),
            ("twice an unknown count", twice(), None, None),
            ("the current count", Action::Set(base()), before(None, Some(4)), None),
            ("nothing", Action::Keep, before(Some(9), None), None),
        ] {
            let (name_of_target, target) = (String::new(), Target::default());
            let write = Write { name: name_of_target, target, before, action, is_guarded: true, dry_run: false };
            assert_eq!(largest(&write), expected, "{name}");
        }
    }
}
