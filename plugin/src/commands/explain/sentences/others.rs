//! Who else writes the count, or tries to.

use jiff::Timestamp;

use super::words::{by_program, list, when, with_program};
use crate::{
    commands::explain::facts::Facts,
    output::{count_or_none, printable},
};

/// The drifts, the appliers, the autoscalers, and what the target belongs to.
pub(super) fn sentences(facts: &Facts, now: Timestamp) -> Vec<String> {
    let mut sentences = Vec::new();
    sentences.extend(drift(facts, now));
    sentences.extend(attempt(facts, now));
    sentences.extend(appliers(facts));
    if let Ok(autoscalers) = &facts.autoscalers
        && !autoscalers.is_empty()
    {
        sentences.push(match autoscalers.as_slice() {
            [one] => format!("HorizontalPodAutoscaler {} scales it.", printable(one)),
            several => format!("HorizontalPodAutoscalers {} scale it.", list(several)),
        });
    }
    if let Some(object) = facts.known_object() {
        if let Some(controller) = &object.controller {
            let controller = printable(controller);
            sentences.push(format!(
                "{controller} controls it, and may change its count: set the count there if it has one."
            ));
        }
        if let Some(tool) = &object.tool {
            sentences.push(format!("It belongs to {}.", printable(tool)));
        }
    }
    if let Ok(Some(keeper)) = &facts.keeper {
        let keeper = printable(keeper);
        sentences.push(format!("Its ReplicaCount belongs to {keeper}: change the count there, or use --force."));
    }
    sentences
}

fn drift(facts: &Facts, now: Timestamp) -> Option<String> {
    let drift = facts.count.last_drift.as_ref()?;
    let corrected = match &drift.corrected_at {
        Some(at) => format!(", and it was put back{}", when(Some(at), now)),
        None => ", and it is not put back".to_owned(),
    };
    let all = match facts.count.drifts {
        0 | 1 => String::new(),
        drifts => format!(" There were {drifts} such drifts."),
    };
    let at = when(drift.at.as_ref(), now);
    let change = match (drift.from, drift.to) {
        (from, None) => format!("removed the count of {}", count_or_none(from)),
        (from, Some(to)) => format!("changed the count from {} to {to}", count_or_none(from)),
    };
    let (who, with) = (by_program(&drift.user, &drift.manager), with_program(&drift.user, &drift.manager));
    Some(format!("{who} {change}{at}{with}{corrected}.{all}"))
}

/// The latest write that the guard kept from being stored.
fn attempt(facts: &Facts, now: Timestamp) -> Option<String> {
    let attempt = facts.count.last_attempt.as_ref()?;
    let end = match attempt.verdict.as_str() {
        "kept" => "the guard kept the count, while the rest was stored".to_owned(),
        "denied" => "the guard refused it".to_owned(),
        verdict => printable(verdict),
    };
    let all = match facts.count.attempts {
        ..=1 => String::new(),
        attempts => format!(" There were {attempts} such attempts."),
    };
    let (from, to) = (count_or_none(attempt.from), count_or_none(attempt.to));
    let at = when(attempt.at.as_ref(), now);
    let (who, with) = (by_program(&attempt.user, &attempt.manager), with_program(&attempt.user, &attempt.manager));
    Some(format!("{who} tried to change the count from {from} to {to}{at}{with}: {end}.{all}"))
}

fn appliers(facts: &Facts) -> Option<String> {
    let appliers = facts.appliers();
    let names = list(appliers);
    match (appliers, facts.is_managed()) {
        ([], _) => None,
        ([_], true) => Some(format!("{names} applies the count, and gets its ownership back after each correction.")),
        (_, true) => Some(format!("{names} apply the count. None of them gets its ownership back after a correction.")),
        ([_], false) => Some(format!("{names} applies the count, and writes it again at its next run.")),
        (_, false) => Some(format!("{names} apply the count, and write it again at their next runs.")),
    }
}
