//! Parts of sentences.

use jiff::Timestamp;

use crate::{
    output::printable,
    time::{distance, from_proto},
};

/// The name of a program that Kubernetes does not record.
const UNKNOWN: &str = "unknown";

/// A number of replicas: `1 replica`, `3 replicas`.
pub(super) fn replicas(count: i32) -> String {
    if count == 1 { "1 replica".to_owned() } else { format!("{count} replicas") }
}

/// A time as the end of a part of a sentence: ` 2h ago`. It is empty if the time is unknown.
pub(super) fn when(time: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    ago(time.and_then(from_proto), now)
}

/// A time as the end of a part of a sentence, as [`when`].
pub(super) fn ago(time: Option<Timestamp>, now: Timestamp) -> String {
    time.map(|time| format!(" {} ago", distance(time, now))).unwrap_or_default()
}

/// A reason as the end of a sentence. It is empty if there is none.
pub(super) fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {}", printable(reason)) }
}

/// Who wrote a count, as the beginning of a sentence: the person, or else the program.
pub(super) fn by_program(user: &str, manager: &str) -> String {
    match (user, manager) {
        ("", "" | UNKNOWN) => "An unknown program".to_owned(),
        ("", manager) => format!("A program, {},", printable(manager)),
        (user, _) => printable(user),
    }
}

/// With which program a person wrote a count. It is empty if no person is known, or no program.
pub(super) fn with_program(user: &str, manager: &str) -> String {
    let is_known = !user.is_empty() && !matches!(manager, "" | UNKNOWN);
    if is_known { format!(" with {}", printable(manager)) } else { String::new() }
}

/// Names as a list: `a`, `a and b`, `a, b and c`.
pub(super) fn list(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| printable(name)).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}
