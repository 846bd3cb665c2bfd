//! The explanation in sentences: a line for each fact, the most important first.

mod others;
mod outlook;
#[cfg(test)]
mod tests;
mod words;

use contract::replicas::v1::{Change, ReplicaCount};
use jiff::Timestamp;

use self::words::{ago, because, replicas, when};
use super::facts::Facts;
use crate::{
    kubernetes::Writer,
    output::printable,
    target,
    time::{distance, from_proto, local_minute},
};

/// The field manager of the server.
const SERVER: &str = "replica-count-manager";

/// Writes the explanation. Commands in it have the default name of this program.
pub(super) fn text(facts: &Facts, now: Timestamp) -> String {
    let sections = [
        ("Why this count", why(facts, now)),
        ("Who else writes it", others::sentences(facts, now)),
        ("What is wrong", outlook::problems(facts)),
        ("What you may do", outlook::rights(facts)),
        ("What happens next", outlook::next(facts, now)),
        ("What is not known", facts.missing().into_iter().map(str::to_owned).collect()),
    ];
    let mut text = headline(facts) + "\n";
    for (title, sentences) in sections.iter().filter(|(_, sentences)| !sentences.is_empty()) {
        text += &format!("\n{title}:\n");
        sentences.iter().for_each(|sentence| text += &format!("  {sentence}\n"));
    }
    text
}

/// What the target has, and what it should have.
fn headline(facts: &Facts) -> String {
    let ReplicaCount { desired, observed, ready, .. } = facts.count;
    let name = format!("{} in the namespace {}", printable(&target::name(&facts.target)), facts.target.namespace);
    let ready = match ready {
        Some(ready) if Some(ready) == observed => ", and all are ready".to_owned(),
        Some(ready) => format!(", and {ready} {} ready", if ready == 1 { "is" } else { "are" }),
        None => String::new(),
    };
    match (desired, observed) {
        (Some(desired), Some(observed)) if desired == observed && outlook::hindrance(facts).is_some() => {
            format!("{name} should be held at {}. Its spec has them{ready}.", replicas(desired))
        }
        (Some(desired), Some(observed)) if desired == observed => {
            format!("{name} is held at {}: its spec has them{ready}.", replicas(desired))
        }
        (Some(desired), Some(observed)) => {
            format!("{name} should have {}, but its spec has {observed}{ready}.", replicas(desired))
        }
        (Some(desired), None) if facts.is_unscalable() => {
            format!("{name} should have {}, but its kind cannot be scaled.", replicas(desired))
        }
        (Some(desired), None) if matches!(facts.object, Ok(None)) => {
            format!("{name} should have {}, but does not exist.", replicas(desired))
        }
        (Some(desired), None) => format!("{name} should have {}. What its spec has is not known.", replicas(desired)),
        (None, Some(observed)) if facts.is_unmanaged() => {
            format!("{name} is not managed. Its spec has {}{ready}.", replicas(observed))
        }
        (None, Some(observed)) => format!("{name} has {} in its spec{ready}.", replicas(observed)),
        (None, None) if facts.is_unmanaged() => format!("{name} is not managed."),
        (None, None) => format!("The count of {name} is not known."),
    }
}

/// Who set the count, when and why.
fn why(facts: &Facts, now: Timestamp) -> Vec<String> {
    let count = &facts.count;
    let mut sentences = Vec::new();
    sentences.extend(override_(facts, now));
    if let Some(lasting) = count.replicas {
        let change = latest_change(count, &["replicas", "spec"]);
        let at = when(change.and_then(|change| change.at.as_ref()), now);
        let reason = because(&count.reason);
        sentences.push(match count.set_by.as_str() {
            "" => format!("The lasting count is {lasting}{reason}."),
            by => format!("{} set the lasting count to {lasting}{at}{reason}.", printable(by)),
        });
    }
    if let Some(original) = count.original_replicas {
        sentences.push(format!("Before it was managed, it had {}.", replicas(original)));
    }
    sentences.extend(last_writer(facts, now));
    sentences
}

fn override_(facts: &Facts, now: Timestamp) -> Option<String> {
    let over = facts.count.r#override.as_ref()?;
    let Some((_, until)) = facts.running_override(now) else {
        let until = over.until.as_ref().and_then(from_proto)?;
        return Some(format!("An override of {} ended {} ago.", over.replicas(), distance(until, now)));
    };
    let change = latest_change(&facts.count, &["override", "spec"]);
    let by = change
        .filter(|change| !change.by.is_empty())
        .map(|change| format!(" {} set it{}.", printable(&change.by), when(change.at.as_ref(), now)));
    let end = format!("{} (in {})", local_minute(until), distance(now, until));
    let reason = because(&over.reason);
    Some(format!("An override of {} holds until {end}{reason}.{}", over.replicas(), by.unwrap_or_default()))
}

/// The latest change of one of these fields.
fn latest_change<'a>(count: &'a ReplicaCount, fields: &[&str]) -> Option<&'a Change> {
    count.changes.iter().find(|change| fields.contains(&change.field.as_str()))
}

/// Who wrote the count last, by managedFields. An applier that has its ownership back need not have written it.
fn last_writer(facts: &Facts, now: Timestamp) -> Option<String> {
    let object = facts.known_object()?;
    let Some(writer) = &object.last_writer else {
        let sentence = "Kubernetes does not record who wrote the count last.".to_owned();
        return (!facts.is_managed()).then_some(sentence);
    };
    let has_ownership_back = facts.is_managed() && facts.count.appliers.contains(&writer.manager);
    (!has_ownership_back).then(|| match writer.manager.as_str() {
        SERVER => "The server wrote the count last.".to_owned(),
        _ => format!("{} wrote the count last{}{}.", printable(&writer.manager), ago(writer.at, now), how(writer)),
    })
}

fn how(writer: &Writer) -> &'static str {
    match (writer.operation.as_str(), writer.subresource.as_str()) {
        (_, "scale") => ", by scaling",
        ("Apply", _) => ", by server-side apply",
        _ => "",
    }
}
