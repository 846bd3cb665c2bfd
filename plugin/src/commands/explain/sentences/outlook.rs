//! What is wrong, what the caller may do about it, and what happens next.

use jiff::Timestamp;

use super::words::{list, replicas};
use crate::{
    commands::explain::facts::{Facts, Rights},
    output::{has_other_count, printable, why_not_ready},
    target,
    time::local_minute,
};

/// The kinds whose controller, such as a Deployment, decides about the count. The server refuses to manage such a target.
const LEFT_TO_CONTROLLERS: [&str; 2] = ["ReplicaSet", "ReplicationController"];

/// Why the target is not as it should be, and what to do.
pub(super) fn problems(facts: &Facts) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(why) = why_not_ready(&facts.count) {
        problems.push(format!("It is not ready: {}.", without_end(&why)));
    }
    if is_uncorrected(facts) {
        problems.push("It was not corrected yet: `kubectl replicas doctor` shows whether a server leads.".to_owned());
    }
    problems.extend(facts.pods.iter().flatten().map(|why| format!("{}.", without_end(&printable(why)))));
    if let Some(contested) = facts.condition("Contested").filter(|condition| condition.status == "True") {
        problems.push(format!("It is contested: {}.", without_end(&printable(&contested.message))));
    }
    problems
}

/// Whether the target has another count, and its condition does not say why. Then nothing is promised of corrections.
fn is_uncorrected(facts: &Facts) -> bool {
    has_other_count(&facts.count) && why_not_ready(&facts.count).is_none()
}

fn without_end(text: &str) -> &str {
    text.trim_end_matches('.')
}

/// What the caller may do.
pub(super) fn rights(facts: &Facts) -> Vec<String> {
    let Ok(Rights { user, server_user, set, unset, scale }) = &facts.rights else { return Vec::new() };
    let user = printable(user);
    let may = |is_allowed: bool| if is_allowed { "may" } else { "may not" };
    let mut sentences = Vec::new();
    if facts.is_managed() {
        sentences.push(match (set, unset) {
            (true, true) => format!("{user} may set it and unset it."),
            (true, false) => format!("{user} may set it, and may not unset it."),
            (false, true) => format!("{user} may not set it, and may unset it."),
            (false, false) => format!("{user} may neither set it nor unset it."),
        });
    } else {
        sentences.push(format!("{user} {} set it.", may(*set)));
    }
    let undone = match facts.is_guarded() {
        _ if !*scale || !facts.is_managed() || hindrance(facts).is_some() || is_uncorrected(facts) => "",
        true => ", but another count is refused while it is held",
        false => ", but the server undoes that",
    };
    if !matches!(facts.object, Ok(None)) && !facts.is_unscalable() {
        sentences.push(format!("{user} {} scale the target itself{undone}.", may(*scale)));
    }
    if *server_user != *user {
        let server_user = printable(server_user);
        sentences.push(format!("{user} is the user of the kubeconfig. The server knows you as {server_user}."));
    }
    sentences
}

/// What happens next: at the end of the override, and after others write the count.
pub(super) fn next(facts: &Facts, now: Timestamp) -> Vec<String> {
    if facts.is_unmanaged() {
        return hold(facts);
    }
    let mut sentences = Vec::new();
    let Some(desired) = facts.count.desired else { return sentences };
    if let Some((over, until)) = facts.running_override(now) {
        let then = match facts.count.replicas {
            _ if over.then_unset => "it is no longer managed".to_owned(),
            Some(lasting) => format!("{lasting} holds again"),
            None => "it has no effect any more".to_owned(),
        };
        sentences.push(format!("At {} the override ends, and {then}.", local_minute(until)));
    }
    if let Some(hindrance) = hindrance(facts) {
        sentences.push(hindrance);
        return sentences;
    }
    if is_uncorrected(facts) {
        return sentences;
    }
    if matches!(facts.object, Ok(None)) {
        sentences.push(format!("Once the target is created, it gets {}.", replicas(desired)));
        return sentences;
    }
    match (facts.appliers(), &facts.autoscalers) {
        _ if facts.is_guarded() => sentences.extend(guarded(facts, desired)),
        (_, Ok(autoscalers)) if !autoscalers.is_empty() => {
            sentences.push(format!(
                "The autoscaler writes its own count again and again, and the server undoes it with {desired}."
            ));
        }
        ([], _) => {
            sentences.push(format!("If another program writes another count, the server puts {desired} back at once."))
        }
        (appliers, _) => {
            let names = list(appliers);
            sentences.push(format!(
                "If the next run of {names} brings another count, the server puts {desired} back at once."
            ));
        }
    }
    sentences
}

/// What keeps the server from putting the desired count in place, and what happens then. None if nothing does.
pub(super) fn hindrance(facts: &Facts) -> Option<String> {
    let desired = facts.count.desired?;
    let ready = facts.condition("Ready").filter(|condition| condition.status != "True")?;
    let unset = format!("To stop managing it: `kubectl replicas unset {}`.", target::in_namespace(&facts.target));
    Some(match ready.reason.as_str() {
        "CorrectionFailed" => format!(
            "The server could not write {desired}. It tries again after up to 5 minutes, and at once when the \
             ReplicaCount changes."
        ),
        "CountChangedByAdmission" => format!(
            "An admission policy or a webhook keeps {desired} out. The server tries again after up to 5 minutes, and \
             when the target or the ReplicaCount changes."
        ),
        "AboveMaximum" => {
            format!("The server puts {desired} in place only once its maximum is raised, or a smaller count is set.")
        }
        "Controlled" => format!("The server does not put {desired} in place. {unset}"),
        "KindNotScalable" => format!("No count of such a target can be held. {unset}"),
        "KindNotServed" | "KindUnknown" | "Forbidden" | "TooManyKinds" | "WatchEnded" => {
            format!("The server puts {desired} in place only once it can watch targets of this kind.")
        }
        "KindNotListed" => format!("Once the server knows the targets of this kind, it puts {desired} in place."),
        "ReplicaCountTerminating" => "Nothing holds the count any more.".to_owned(),
        "OverrideEnded" | "Restored" => "The server deletes the ReplicaCount, and then nothing holds it.".to_owned(),
        "TargetTerminating" => format!("If the target is created again, it gets {}.", replicas(desired)),
        _ => return None,
    })
}

/// What follows from the guard.
fn guarded(facts: &Facts, desired: i32) -> Vec<String> {
    let mut sentences = vec![format!(
        "If another program writes another count, {desired} is stored instead, or the write is refused. The server puts \
         back what gets past that."
    )];
    let paused = facts.condition("Contested").filter(|contested| contested.reason == "AutoscalerPaused");
    sentences.extend(paused.map(|paused| format!("{}.", without_end(&printable(&paused.message)))));
    sentences
}

/// How to hold an unmanaged target, and what would undo it.
fn hold(facts: &Facts) -> Vec<String> {
    let name = target::name(&facts.target);
    let count = facts.count.observed.map_or_else(|| "COUNT".to_owned(), |observed| observed.to_string());
    let set = format!("`kubectl replicas set {name} {count} -n {}`", facts.target.namespace);
    let controller = facts.known_object().and_then(|object| object.controller.as_deref()).map(printable);
    let is_left_to_controllers = LEFT_TO_CONTROLLERS.contains(&facts.target.kind.as_str());
    let mut sentences = vec!["Each writer may change the count, and nothing puts it back.".to_owned()];
    match (&facts.autoscalers, controller) {
        (_, Some(controller)) if is_left_to_controllers => {
            sentences.push(format!("{set} is refused: set the count of {controller} instead."));
        }
        (Ok(autoscalers), _) if !autoscalers.is_empty() && facts.is_guarding => {
            let names = list(autoscalers);
            sentences.push(format!("{set} holds it at this count, and pauses HorizontalPodAutoscaler {names}."));
        }
        (Ok(autoscalers), _) if !autoscalers.is_empty() => {
            let names = list(autoscalers);
            sentences.push(format!("{set} is refused because of HorizontalPodAutoscaler {names}: delete it first."));
        }
        (_, controller) => {
            sentences.push(format!("{set} holds it at this count."));
            sentences.extend(controller.map(|it| format!("If {it} then changes it, the server puts it back.")));
        }
    }
    if !facts.appliers().is_empty() {
        let names = list(facts.appliers());
        sentences.push(format!("Before that, leave the count out of what {names} applies, or the two contend."));
    }
    sentences
}
