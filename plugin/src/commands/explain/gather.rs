//! Finds out what an explanation needs, all at once, and notes what the caller may not read.

use contract::{
    names::reasons,
    replicas::v1::{GetServerInfoRequest, GetServerInfoResponse, ReplicaCount, Target},
};
use futures::join;

use super::facts::{Facts, Found, Rights};
use crate::{
    commands::read,
    error::{Error, explain},
    kubernetes::{self, TargetObject},
    refusal,
    session::{CallError, Session},
    target, terminal,
};

/// Finds out everything about a target. It fails only if the server cannot answer, or if there is no such target.
pub(super) async fn facts(session: &Session, target: Target) -> Result<Facts, Error> {
    let (cluster, limit) = session.api();
    let mut client = session.client.clone();
    let (read, info, object, autoscalers, keeper) = join!(
        read::of_target(session, &target),
        session.answer(client.get_server_info(GetServerInfoRequest {})),
        kubernetes::target_object(cluster, &target, limit),
        kubernetes::autoscalers(cluster, &target, limit),
        kubernetes::replica_count_tool(cluster, &target, limit),
    );
    let object = object.map_err(|error| missing(&target, error));
    let (count, hidden) = known_count(read, &target, &object)?;
    let is_managed = count.desired.is_some();
    let is_unready = count.ready < count.observed || count.conditions.iter().any(is_not_ready);
    let pods = async {
        match is_unready && !matches!(object, Ok(None)) {
            true => session.why_unready(&target, limit).await,
            false => Ok(Vec::new()),
        }
    };
    let is_guarding = info.as_ref().is_ok_and(|info| info.admission_mode == "guard");
    let (pods, rights) = join!(pods, rights(session, &target, is_managed, info));
    Ok(Facts {
        is_guarding,
        count,
        hidden,
        object,
        autoscalers: autoscalers.map_err(|error| missing(&target, error)),
        pods: pods.map_err(|error| missing(&target, error)),
        keeper: keeper.map_err(|error| missing(&target, error)),
        rights: rights.map_err(|error| missing(&target, error)),
        target,
    })
}

fn is_not_ready(condition: &contract::replicas::v1::Condition) -> bool {
    condition.r#type == "Ready" && condition.status != "True"
}

/// The replica count, and why the caller may not read it. Then, and if the target is not managed, the object tells the
/// counts.
fn known_count(
    read: Result<ReplicaCount, CallError>,
    target: &Target,
    object: &Found<Option<TargetObject>>,
) -> Result<(ReplicaCount, Option<String>), Error> {
    let of_object = || {
        let object = object.as_ref().ok().and_then(Option::as_ref);
        let (observed, ready) = object.map_or((None, None), |object| (object.replicas, object.ready));
        ReplicaCount { target: Some(target.clone()), observed, ready, ..ReplicaCount::default() }
    };
    match read {
        Ok(count) => Ok((count, None)),
        Err(error) if refusal::is_for(&error, reasons::FORBIDDEN) => {
            // It ends with a command, which people copy.
            let hidden = format!("You may not read the replica count of {}: {error}", target::name(target));
            Ok((of_object(), Some(terminal::one_line(&hidden))))
        }
        Err(error) if is_unmanaged(&error, object) => Ok((of_object(), None)),
        Err(error) => Err(error.into()),
    }
}

/// Whether the target exists and is not managed. The server may not have seen it yet.
fn is_unmanaged(error: &CallError, object: &Found<Option<TargetObject>>) -> bool {
    match object {
        Ok(None) => false,
        Ok(Some(_)) if refusal::is_for(error, reasons::TARGET_NOT_FOUND) => true,
        _ => refusal::is_for(error, reasons::NOT_MANAGED),
    }
}

/// Asks what the caller may do.
async fn rights(
    session: &Session,
    target: &Target,
    is_managed: bool,
    info: Result<GetServerInfoResponse, CallError>,
) -> Result<Rights, Error> {
    let (cluster, limit) = session.api();
    let may = |verb| kubernetes::may_with_replica_count(cluster, verb, target, limit);
    let (caller, set, unset, scale) = join!(
        kubernetes::caller(cluster, limit),
        may(if is_managed { "update" } else { "create" }),
        may("delete"),
        kubernetes::may_scale(cluster, target, limit),
    );
    Ok(Rights { user: caller?.user, server_user: info?.user, set: set?, unset: unset?, scale: scale? })
}

/// Says in a sentence what could not be found out.
fn missing(target: &Target, error: impl Into<Error>) -> String {
    match error.into() {
        Error::Kubernetes(error) if error.forbidden_action().is_some() => {
            format!("You may not {}.", terminal::one_line(error.forbidden_action().unwrap_or_default()))
        }
        error => {
            let subject = format!("Not all is known about {}", target::name(target));
            let text = explain(&subject, &error);
            terminal::one_line(text.split("\nhint: ").next().unwrap_or_default()) + "."
        }
    }
}
