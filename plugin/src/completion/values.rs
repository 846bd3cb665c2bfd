//! What may stand at the cursor.

use clap::{Arg, ArgAction, builder::StyledStr};

use super::{
    candidate::Candidate,
    line::{Line, Place},
    lookup, targets,
};
use crate::target;

/// What may stand at the cursor.
#[derive(Debug)]
pub(super) enum Answer {
    Candidates(Vec<Candidate>),
    /// The shell knows the files.
    Files,
    Folders,
}

/// Examples of values that the program could not list, by the name of the value in the help.
const DURATIONS: [(&str, &str); 5] =
    [("5m", "5 minutes"), ("30m", "30 minutes"), ("2h", "2 hours"), ("8h", "8 hours"), ("1d", "1 day")];
const COUNTS: [(&str, &str); 4] =
    [("+1", "one more than there is"), ("x2", "twice as many"), ("50%", "half as many"), ("0", "none")];
const MODES: [(&str, &str); 2] = [("server", "check the request, and change nothing"), ("none", "no dry run")];

/// Finds the candidates for the place at the cursor.
pub(super) fn at(line: &Line<'_>) -> Answer {
    match line.place {
        Place::Command => Answer::Candidates(commands(line)),
        Place::Flag => Answer::Candidates(flags(line)),
        Place::Value(argument) => of_argument(line, argument),
        Place::Nothing => Answer::Candidates(Vec::new()),
    }
}

fn commands(line: &Line<'_>) -> Vec<Candidate> {
    let commands = line.command.get_subcommands().filter(|command| !command.is_hide_set());
    commands.map(|command| Candidate::new(command.get_name(), first_line(command.get_about()))).collect()
}

/// The flags of the command. Those that all commands share are only shown once a letter of them is there.
fn flags(line: &Line<'_>) -> Vec<Candidate> {
    let is_given = |flag: &Arg| line.flags.iter().any(|(given, _)| given.get_id() == flag.get_id());
    let may_repeat = |flag: &Arg| matches!(flag.get_action(), ArgAction::Append | ArgAction::Count);
    let has_letter = !line.current.trim_start_matches('-').is_empty();
    let is_shown = |flag: &&Arg| if flag.is_global_set() { has_letter } else { !flag.is_hide_set() };
    let flags = line.command.get_arguments().filter(is_shown).filter(|flag| !is_given(flag) || may_repeat(flag));
    flags
        .filter_map(|flag| Some(Candidate::new(format!("--{}", flag.get_long()?), first_line(flag.get_help()))))
        .collect()
}

fn of_argument(line: &Line<'_>, argument: &Arg) -> Answer {
    let name = argument.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    let possible = argument.get_possible_values();
    Answer::Candidates(match name {
        "FILE" => return Answer::Files,
        "FOLDER" => return Answer::Folders,
        _ if !possible.is_empty() => {
            let possible = possible.iter().filter(|value| !value.is_hide_set());
            possible.map(|value| Candidate::new(value.get_name(), first_line(value.get_help()))).collect()
        }
        "TARGET" | "KIND|TARGET" => of_targets(line, argument, name == "KIND|TARGET"),
        "NAMESPACE" => plain(line.connection().and_then(lookup::namespaces)),
        "CONTEXT" => plain(line.connection().and_then(lookup::contexts)),
        "DURATION" => fixed(&DURATIONS),
        "MODE" => fixed(&MODES),
        "COUNT" if argument.get_long() == Some(targets::COUNT_FLAG) => fixed(&COUNTS),
        _ => Vec::new(),
    })
}

/// The targets that the cluster has, kinds, or counts, according to the words before the cursor.
fn of_targets(line: &Line<'_>, argument: &Arg, takes_kinds: bool) -> Vec<Candidate> {
    let most = argument.get_num_args().map_or(1, |range| range.max_values());
    let expected = targets::expected(line, most);
    let found = match expected {
        targets::Expected::Nothing => return Vec::new(),
        targets::Expected::Count => return fixed(&COUNTS),
        _ => line.connection().and_then(|connection| lookup::targets(connection, targets::is_unmanaged_shown(line))),
    };
    let mut candidates = targets::candidates(&found.unwrap_or_default(), &expected, line);
    if takes_kinds && line.words.is_empty() {
        let kinds = target::kinds().map(|(word, kind)| Candidate::new(word, format!("all targets of the kind {kind}")));
        candidates.extend(kinds);
    }
    candidates
}

fn fixed(values: &[(&str, &str)]) -> Vec<Candidate> {
    values.iter().map(|(value, description)| Candidate::new(*value, *description)).collect()
}

fn plain(values: Option<Vec<String>>) -> Vec<Candidate> {
    values.unwrap_or_default().into_iter().map(|value| Candidate::new(value, "")).collect()
}

fn first_line(help: Option<&StyledStr>) -> String {
    help.map(|help| help.to_string().lines().next().unwrap_or_default().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    /// The values without descriptions, in one line.
    fn values(text: &str) -> String {
        let mut command = cli::command();
        command.build();
        let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
        match at(&Line::parse(&command, &words)) {
            Answer::Candidates(candidates) => {
                candidates.into_iter().map(|candidate| candidate.value).collect::<Vec<_>>().join(" ")
            }
            answer => format!("{answer:?}"),
        }
    }

    #[test]
    fn each_place_has_its_values_without_a_cluster() {
        for (text, expected) in [
            ("list -o ", "table wide json yaml name"),
            ("export -o ", "json yaml"),
            ("set web 3 --for ", "5m 30m 2h 8h 1d"),
            ("set web 3 --wait --timeout ", "5m 30m 2h 8h 1d"),
            ("set web --dry-run=", "server none"),
            ("set --replicas ", "+1 x2 50% 0"),
            ("set web ", "+1 x2 50% 0"),
            ("set web 3 --current-replicas ", ""),
            ("set web 3 --reason ", ""),
            ("list --color=", "auto always never"),
            ("list --kubeconfig ", "Files"),
            ("config export --to ", "Folders"),
            ("config set ", "address serverName service.namespace service.name ca certificate key"),
            ("completion ", "install bash zsh fish powershell help"),
            ("set web 3 x", ""),
            ("nosuch ", ""),
        ] {
            assert_eq!(values(text), expected, "{text}");
        }
    }

    #[test]
    fn commands_and_flags_are_those_of_the_help() {
        let commands = values("");
        for command in cli::command().get_subcommands() {
            assert!(
                commands.split(' ').any(|shown| shown == command.get_name()),
                "{} in {commands}",
                command.get_name()
            );
        }
        let flags = values("list -");
        assert!(flags.starts_with("--all-namespaces --selector --all-targets --output"), "{flags}");
        assert!(!flags.contains("--namespace"), "shared flags would hide the command's own: {flags}");
        assert!(values("list --n").contains("--namespace"));
        assert!(!values("list -o json --o").contains("--output"), "it is given already");
        assert!(values("list --as-group a --a").contains("--as-group"), "it may be given again");
    }

    #[test]
    fn every_candidate_of_a_duration_is_a_duration() {
        for (value, _) in DURATIONS {
            assert!(crate::time::parse_override(value).is_ok() && crate::time::parse_limit(value).is_ok(), "{value}");
        }
        for (value, _) in COUNTS {
            assert!(crate::count::parse(value).is_ok(), "{value}");
        }
    }
}
