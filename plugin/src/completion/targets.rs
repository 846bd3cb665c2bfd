//! Targets as candidates: in the form that the user types, with their counts.

use contract::replicas::v1::{ReplicaCount, Target};

use super::{candidate::Candidate, line::Line};
use crate::{
    dns,
    output::{printable, status},
    target::{self, KindRef, TargetRef, parse_kind},
    words,
};

/// The flag that gives one count to all targets. The command that has it takes counts among its words, too.
pub(super) const COUNT_FLAG: &str = "replicas";

/// The other flag that leaves the words to targets.
const CURRENT_FLAG: &str = "current";

/// The commands for which a target without a ReplicaCount is an error.
const ONLY_MANAGED: [&str; 5] = ["unset", "export", "history", "undo", "wait"];

/// What the next word of a command is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Target,
    /// The name of a target of a kind, as in `sts db`.
    NameOf(KindRef),
    /// A target and an equals sign, as in `web=3`.
    Assignment,
    Count,
    Nothing,
}

/// Whether targets without a ReplicaCount are candidates.
pub(super) fn is_unmanaged_shown(line: &Line<'_>) -> bool {
    !ONLY_MANAGED.contains(&line.command.get_name())
}

/// Finds out what the next word is, from those before it. `most` is how many the command takes.
pub(super) fn expected(line: &Line<'_>, most: usize) -> Expected {
    let takes_counts = line.command.get_arguments().any(|flag| flag.get_long() == Some(COUNT_FLAG));
    let needs_count = takes_counts && ![COUNT_FLAG, CURRENT_FLAG].iter().any(|flag| line.has_flag(flag));
    let kind = line.words.first().and_then(|first| kind_before_names(first));
    match (line.words.as_slice(), kind) {
        ([], _) => Expected::Target,
        (words, _) if needs_count && words.iter().any(|word| word.contains('=')) => Expected::Assignment,
        ([_], Some(kind)) => Expected::NameOf(kind),
        ([_], None) | ([_, _], Some(_)) if needs_count => Expected::Count,
        (_, Some(kind)) if !needs_count && most > 2 => Expected::NameOf(kind),
        (_, None) if !needs_count && most > 2 => Expected::Target,
        _ => Expected::Nothing,
    }
}

/// The kind that a word names, if names may follow it.
fn kind_before_names(word: &str) -> Option<KindRef> {
    words::parse_pair(word, "x")?.ok().map(|target| target.kind)
}

/// Turns the targets that are not on the line yet into candidates.
pub(super) fn candidates(counts: &[ReplicaCount], expected: &Expected, line: &Line<'_>) -> Vec<Candidate> {
    let given = given(&line.words);
    let candidate = |count: &ReplicaCount| {
        let target = count.target.as_ref().filter(|target| dns::is_subdomain(&target.name))?;
        if given.iter().any(|given| given.name == target.name && is_of_kind(&given.kind, target)) {
            return None;
        }
        let value = match expected {
            Expected::NameOf(kind) => is_of_kind(kind, target).then(|| target.name.clone()),
            Expected::Assignment => word(target, line.current).map(|word| word + "="),
            _ => word(target, line.current),
        };
        Some(Candidate::new(value?, describe(count)))
    };
    counts.iter().filter_map(candidate).collect()
}

/// The targets on the line.
fn given(words: &[&str]) -> Vec<TargetRef> {
    let kind = words.first().and_then(|first| kind_before_names(first));
    let names = words.iter().map(|word| word.split_once('=').map_or(*word, |(target, _)| target));
    match kind {
        Some(kind) => names.skip(1).filter_map(|name| TargetRef::new(kind.clone(), name, name).ok()).collect(),
        None => names.filter_map(|name| words::parse_one(name).ok()).collect(),
    }
}

/// The word for a target: with the kind that the user has typed, or else the shortest one.
fn word(target: &Target, current: &str) -> Option<String> {
    match current.split_once('/') {
        Some((typed, _)) => is_of_kind(&parse_kind(typed)?, target).then(|| format!("{typed}/{}", target.name)),
        None => Some(shortest_word(target)),
    }
}

fn shortest_word(target: &Target) -> String {
    let name = &target.name;
    let means_it = |word: &str| words::parse_one(word).is_ok_and(|it| is_of_kind(&it.kind, target));
    if means_it(name) && words::parse_pair(name, "x").is_none() {
        return name.clone();
    }
    let is_short = |(word, _): &(&str, &str)| parse_kind(word).is_some_and(|kind| is_of_kind(&kind, target));
    let short = target::kinds().find(is_short);
    short.map_or_else(|| target::name(target), |(kind, _)| format!("{kind}/{name}"))
}

/// Whether a target is of the kind that a word names. Only the API server knows the short names of other kinds.
fn is_of_kind(kind: &KindRef, target: &Target) -> bool {
    match kind {
        KindRef::BuiltIn(kind) => (kind.kind, kind.group) == (target.kind.as_str(), target.group.as_str()),
        KindRef::Resource { resource, group } => {
            let singular = target.kind.to_ascii_lowercase();
            (*resource == singular || *resource == format!("{singular}s")) && target.group.starts_with(group.as_str())
        }
    }
}

/// The counts of a target and who set them: `3/3, set by alice`.
fn describe(count: &ReplicaCount) -> String {
    let number = |number: Option<i32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let ready = number(count.ready);
    let Some(desired) = count.desired else {
        return format!("{ready}/{}, not managed", number(count.observed));
    };
    let by = if count.set_by.is_empty() { String::new() } else { format!(", set by {}", printable(&count.set_by)) };
    let trouble = if status(count) == "Contested" { ", contested" } else { "" };
    format!("{ready}/{desired}{by}{trouble}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn target(kind: &str, group: &str, name: &str) -> Target {
        let [kind, group, name] = [kind, group, name].map(str::to_owned);
        Target { namespace: "shop".to_owned(), group, kind, name }
    }

    fn shop() -> Vec<ReplicaCount> {
        let managed = |target, desired, by: &str| ReplicaCount {
            target: Some(target),
            desired: Some(desired),
            observed: Some(desired),
            ready: Some(2),
            set_by: by.to_owned(),
            ..ReplicaCount::default()
        };
        let unmanaged = |target| ReplicaCount {
            target: Some(target),
            observed: Some(1),
            ready: Some(1),
            ..ReplicaCount::default()
        };
        vec![
            managed(target("Deployment", "apps", "web"), 3, "alice"),
            unmanaged(target("Deployment", "apps", "api")),
            unmanaged(target("Deployment", "apps", "deployment")),
            managed(target("StatefulSet", "apps", "db"), 2, ""),
            managed(target("Rollout", "argoproj.io", "web"), 2, "bob\n"),
            unmanaged(target("Deployment", "apps", "$(x)")),
        ]
    }

    fn complete(text: &str) -> (Expected, String) {
        let mut command = cli::command();
        command.build();
        let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
        let line = Line::parse(&command, &words);
        let most = if line.command.get_name() == "undo" { 2 } else { usize::MAX };
        let expected = expected(&line, most);
        let values = candidates(&shop(), &expected, &line).into_iter().map(|candidate| candidate.value);
        (expected, values.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn targets_are_offered_in_the_form_that_is_typed() {
        for (text, candidates) in [
            ("list ", "web api deploy/deployment sts/db rollout.argoproj.io/web"),
            ("list sts/", "sts/db"),
            ("list StatefulSet.apps/", "StatefulSet.apps/db"),
            ("list deploy/", "deploy/web deploy/api deploy/deployment"),
            ("list rollouts.argoproj.io/", "rollouts.argoproj.io/web"),
            ("list rollouts/", "rollouts/web"),
            ("list a/b/", ""),
            ("list web ", "api deploy/deployment sts/db rollout.argoproj.io/web"),
            ("list deployment.apps/web sts/db ", "api deploy/deployment rollout.argoproj.io/web"),
            ("list sts ", "db"),
            ("list deploy web ", "api deployment"),
            ("get sts ", "db"),
            ("set web=3 ", "api= deploy/deployment= sts/db= rollout.argoproj.io/web="),
            ("set --replicas 3 web ", "api deploy/deployment sts/db rollout.argoproj.io/web"),
            ("set --current sts ", "db"),
        ] {
            assert_eq!(complete(text).1, candidates, "{text}");
        }
    }

    #[test]
    fn the_words_before_say_what_comes_next() {
        let sts = || Expected::NameOf(parse_kind("sts").unwrap());
        for (text, expected) in [
            ("set ", Expected::Target),
            ("set web ", Expected::Count),
            ("set web 3 ", Expected::Nothing),
            ("set web=3 ", Expected::Assignment),
            ("set sts ", sts()),
            ("set sts db ", Expected::Count),
            ("set sts db 3 ", Expected::Nothing),
            ("set --replicas 3 web ", Expected::Target),
            ("set --current sts db ", sts()),
            ("set --current=false web ", Expected::Count),
            ("set --current=true web ", Expected::Target),
            ("get ", Expected::Target),
            ("get sts ", sts()),
            ("get web ", Expected::Target),
            ("undo sts ", sts()),
            ("undo web ", Expected::Nothing),
            ("unset web ", Expected::Target),
            ("unset sts db ", sts()),
        ] {
            assert_eq!(complete(text).0, expected, "{text}");
        }
    }

    #[test]
    fn a_description_has_the_counts_and_who_set_them() {
        let described: Vec<_> = shop().iter().map(describe).collect();
        assert_eq!(described[0], "2/3, set by alice");
        assert_eq!(described[1], "1/1, not managed");
        assert_eq!(described[3], "2/2");
        assert_eq!(described[4], "2/2, set by bob ");
    }
}
