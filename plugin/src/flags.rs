//! Flags as clap describes them, and boolean flags with a value, such as `--watch=false`, as kubectl's flags accept it.
//!
//! clap's rules for flags ask whether one is present. Therefore a flag that is false is left out before clap reads the
//! words, and one that is true loses its value.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command, Error, error::ErrorKind};

/// The words that pflag reads as true and as false.
const TRUE: [&str; 6] = ["1", "t", "T", "true", "TRUE", "True"];
const FALSE: [&str; 6] = ["0", "f", "F", "false", "FALSE", "False"];

/// Reads the value of a boolean flag.
pub(crate) fn parse_bool(value: &str) -> Option<bool> {
    match value {
        value if TRUE.contains(&value) => Some(true),
        value if FALSE.contains(&value) => Some(false),
        _ => None,
    }
}

/// Whether a flag is a boolean one.
pub(crate) fn is_boolean(flag: &Arg) -> bool {
    matches!(flag.get_action(), ArgAction::SetTrue) && flag.get_long().is_some()
}

/// Finds a flag by its long name.
pub(crate) fn find_long<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|flag| {
        let aliases = flag.get_all_aliases().unwrap_or_default();
        flag.get_long() == Some(name) || aliases.contains(&name)
    })
}

/// Finds a flag by its letter.
pub(crate) fn find_short(command: &Command, letter: char) -> Option<&Arg> {
    command.get_arguments().find(|flag| flag.get_short() == Some(letter))
}

/// Whether the value of a flag may be the next word. `--dry-run` takes its value only after an equals sign.
pub(crate) fn takes_next_word(flag: &Arg) -> bool {
    let least = flag.get_num_args().map_or(1, |range| range.min_values());
    flag.get_action().takes_values() && least > 0
}

/// Writes each boolean flag without a value if it is true, and leaves it out if it is false. The last one counts.
pub(crate) fn settle(program: &Command, arguments: &[OsString]) -> Result<Vec<OsString>, Error> {
    let mut line = Line { commands: vec![program], words: Vec::with_capacity(arguments.len()) };
    let (mut takes_next, mut only_words) = (false, false);
    for (index, argument) in arguments.iter().enumerate() {
        match argument.to_str() {
            // The first one is the name of the program.
            Some(word) if index > 0 && !takes_next && !only_words => {
                only_words = word == "--";
                takes_next = line.add(word)?;
            }
            _ => {
                line.words.push(argument.clone());
                takes_next = false;
            }
        }
    }
    Ok(line.words)
}

/// A command line up to a word.
struct Line<'a> {
    /// The program and the commands that the line names.
    commands: Vec<&'a Command>,
    /// The words for clap.
    words: Vec<OsString>,
}

impl<'a> Line<'a> {
    /// Adds a word. Returns whether the next one is its value.
    fn add(&mut self, word: &str) -> Result<bool, Error> {
        match (word.strip_prefix("--"), word.strip_prefix('-')) {
            (Some(""), _) | (None, Some("") | None) => {
                let command = self.commands.last().copied().and_then(|command| command.find_subcommand(word));
                self.commands.extend(command);
                self.words.push(word.into());
                Ok(false)
            }
            (Some(long), _) => self.add_long(long),
            (None, Some(letters)) => self.add_letters(letters),
        }
    }

    fn add_long(&mut self, long: &str) -> Result<bool, Error> {
        let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
        let flag = self.find(|command| find_long(command, name));
        if let Some(flag) = flag.filter(|flag| is_boolean(flag)) {
            self.set(flag, value)?;
            return Ok(false);
        }
        self.words.push(format!("--{long}").into());
        Ok(value.is_none() && flag.is_some_and(takes_next_word))
    }

    fn add_letters(&mut self, letters: &str) -> Result<bool, Error> {
        for (index, letter) in letters.char_indices() {
            let rest = &letters[index + letter.len_utf8()..];
            let flag = self.find(|command| find_short(command, letter));
            let Some(boolean) = flag.filter(|flag| is_boolean(flag)) else {
                self.words.push(format!("-{letter}{rest}").into());
                return Ok(rest.is_empty() && flag.is_some_and(takes_next_word));
            };
            let value = rest.strip_prefix('=');
            self.set(boolean, value)?;
            if value.is_some() {
                break;
            }
        }
        Ok(false)
    }

    fn find(&self, find: impl Fn(&'a Command) -> Option<&'a Arg>) -> Option<&'a Arg> {
        self.commands.iter().rev().copied().find_map(find)
    }

    fn set(&mut self, flag: &Arg, value: Option<&str>) -> Result<(), Error> {
        let name = format!("--{}", flag.get_long().unwrap_or_default());
        let refusal = |value: &str| {
            let message = format!("invalid value '{value}' for '{name}': it must be true or false\n");
            Error::raw(ErrorKind::InvalidValue, message)
        };
        let is_true = value.map_or(Ok(true), |value| parse_bool(value).ok_or_else(|| refusal(value)))?;
        self.words.retain(|word| *word != *name);
        self.words.extend(is_true.then(|| OsString::from(name)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn settled(line: &str) -> Result<String, String> {
        let words: Vec<_> = ["kubectl-replicas"].into_iter().chain(line.split(' ')).map(OsString::from).collect();
        let settled = settle(&cli::command(), &words).map_err(|error| error.to_string())?;
        let words: Vec<_> = settled.iter().skip(1).map(|word| word.to_string_lossy()).collect();
        Ok(words.join(" "))
    }

    #[test]
    fn a_boolean_flag_has_a_value_as_in_kubectl() {
        for (name, line, expected) in [
            ("no value", "list --watch", "list --watch"),
            ("true", "list --all-namespaces=true", "list --all-namespaces"),
            ("false", "list --watch=false", "list"),
            ("other words", "set web 3 --wait=T --force=0 --yes=1", "set web 3 --wait --yes"),
            ("a letter", "list -A", "list --all-namespaces"),
            ("a letter with a value", "list -A=false", "list"),
            ("letters, the last with a value", "list -Aw=false", "list --all-namespaces"),
            ("a letter before a flag with a value", "list -Ao=json", "list --all-namespaces -o=json"),
            ("the last one counts", "list --watch -w=false", "list"),
            ("the last one counts again", "list --watch=false --watch --watch", "list --watch"),
            ("a nested command", "config view --wait=false", "config view --wait=false"),
            ("a command as a value", "--context list get --watch=false web", "--context list get web"),
            ("a value of another flag", "set web --reason --wait=false", "set web --reason --wait=false"),
            ("after the words", "set web 3 -- --wait=false", "set web 3 -- --wait=false"),
            ("a flag with modes", "set web 3 --dry-run=none", "set web 3 --dry-run=none"),
            ("standard input", "set -f - --yes=true", "set -f - --yes"),
            ("an unknown flag", "list --wiat=false", "list --wiat=false"),
            ("a negative count", "set web -1", "set web -1"),
        ] {
            assert_eq!(settled(line).as_deref(), Ok(expected), "{name}");
        }
    }

    #[test]
    fn another_value_is_refused() {
        for (line, part) in [
            ("list --watch=maybe", "invalid value 'maybe' for '--watch': it must be true or false"),
            ("unset web --force=", "invalid value '' for '--force'"),
            ("list -A=tRUE", "invalid value 'tRUE' for '--all-namespaces'"),
        ] {
            let error = settled(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn a_flag_that_is_false_is_absent_for_the_rules_of_flags() {
        for (line, is_accepted) in [
            ("set --all=false --filename=x.yaml", true),
            ("set --all --filename=x.yaml", false),
            ("set web --current=false --replicas 3", true),
            ("undo web --list=false", true),
            ("list --watch=false --contexts=a", true),
        ] {
            let words: Vec<_> = ["kubectl-replicas"].into_iter().chain(line.split(' ')).map(OsString::from).collect();
            let words = settle(&cli::command(), &words).unwrap();
            assert_eq!(cli::command().try_get_matches_from(words).is_ok(), is_accepted, "{line}");
        }
    }
}
