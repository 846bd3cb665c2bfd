//! A command line that is being typed, read with clap's description of the commands.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::{
    args::ConnectionArgs,
    flags::{find_long, find_short, is_boolean, parse_bool, takes_next_word},
};

/// A command line up to the cursor.
pub(super) struct Line<'a> {
    /// The last command that it names.
    pub(super) command: &'a Command,
    /// The flags before the cursor, and their values.
    pub(super) flags: Vec<(&'a Arg, Option<&'a str>)>,
    /// The other words before the cursor.
    pub(super) words: Vec<&'a str>,
    /// What is at the cursor.
    pub(super) place: Place<'a>,
    /// The part of the word at the cursor that is completed: `js` of `--output=js`.
    pub(super) current: &'a str,
}

/// What is at the cursor.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// The name of a command.
    Command,
    Flag,
    Value(&'a Arg),
    /// More than the command takes.
    Nothing,
}

impl<'a> Line<'a> {
    /// Reads the words. The last one is that at the cursor, which may be empty.
    pub(super) fn parse(program: &'a Command, words: &'a [String]) -> Self {
        let (current, before) = words.split_last().map_or(("", words), |(last, before)| (last.as_str(), before));
        let mut line = Self { command: program, flags: Vec::new(), words: Vec::new(), place: Place::Nothing, current };
        let (mut open, mut only_words) = (None, false);
        for word in before {
            if let Some(flag) = open.take() {
                line.flags.push((flag, Some(word)));
            } else if only_words || !word.starts_with('-') || word == "-" {
                line.add_word(word, only_words);
            } else if word == "--" {
                only_words = true;
            } else {
                open = line.add_flag(word);
            }
        }
        line.find_place(open, only_words);
        line
    }

    fn add_word(&mut self, word: &'a str, only_words: bool) {
        match self.command.find_subcommand(word) {
            Some(command) if self.words.is_empty() && !only_words => self.command = command,
            _ => self.words.push(word),
        }
    }

    /// Adds a flag, or several letters. Returns the flag whose value is the next word.
    fn add_flag(&mut self, word: &'a str) -> Option<&'a Arg> {
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            let flag = find_long(self.command, name)?;
            if value.is_none() && takes_next_word(flag) {
                return Some(flag);
            }
            self.flags.push((flag, value));
            return None;
        }
        for (index, letter) in word.char_indices().skip(1) {
            let flag = find_short(self.command, letter)?;
            let rest = &word[index + letter.len_utf8()..];
            match rest.strip_prefix('=').unwrap_or(rest) {
                "" if takes_next_word(flag) => return Some(flag),
                value if takes_next_word(flag) => {
                    self.flags.push((flag, Some(value)));
                    return None;
                }
                _ => self.flags.push((flag, None)),
            }
        }
        None
    }

    fn find_place(&mut self, open: Option<&'a Arg>, only_words: bool) {
        self.place = if let Some(flag) = open {
            Place::Value(flag)
        } else if !only_words && self.current.starts_with('-') {
            match self.current.split_once('=') {
                Some((flag, value)) => {
                    self.current = value;
                    let flag = match (flag.strip_prefix("--"), flag.chars().nth(1)) {
                        (Some(name), _) => find_long(self.command, name),
                        (None, Some(letter)) => find_short(self.command, letter),
                        (None, None) => None,
                    };
                    flag.filter(|flag| flag.get_action().takes_values()).map_or(Place::Nothing, Place::Value)
                }
                None => Place::Flag,
            }
        } else if self.command.has_subcommands() {
            if self.words.is_empty() && !only_words { Place::Command } else { Place::Nothing }
        } else {
            self.argument(self.words.len()).map_or(Place::Nothing, Place::Value)
        };
    }

    /// The argument that a word belongs to.
    fn argument(&self, index: usize) -> Option<&'a Arg> {
        let mut first = 0;
        self.command.get_positionals().find(|argument| {
            let many = argument.get_num_args().map_or(1, |range| range.max_values());
            first += if argument.get_action().takes_values() { many.min(usize::MAX - first) } else { 0 };
            index < first
        })
    }

    /// Whether a flag stands before the cursor. A boolean flag that is false counts as absent.
    pub(super) fn has_flag(&self, name: &str) -> bool {
        let is_false = |flag: &Arg, value: Option<&str>| is_boolean(flag) && value.and_then(parse_bool) == Some(false);
        self.flags.iter().any(|(flag, value)| flag.get_long() == Some(name) && !is_false(flag, *value))
    }

    /// The connection that the flags choose. A flag that cannot be read is left out.
    pub(super) fn connection(&self) -> Option<ConnectionArgs> {
        let read = |flags: &[String]| -> Option<ArgMatches> {
            let command = ConnectionArgs::augment_args(Command::new("connection")).no_binary_name(true);
            command.try_get_matches_from(flags).ok()
        };
        let shared = self.flags.iter().filter(|(flag, _)| flag.is_global_set());
        let shared = shared.filter_map(|(flag, value)| Some(format!("--{}={}", flag.get_long()?, value.as_ref()?)));
        let shared: Vec<_> = shared.collect();
        let readable = || shared.iter().filter(|flag| read(std::slice::from_ref(*flag)).is_some()).cloned();
        let matches = read(&shared).or_else(|| read(&readable().collect::<Vec<_>>()))?;
        ConnectionArgs::from_arg_matches(&matches).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn describe(text: &str) -> String {
        let mut command = cli::command();
        command.build();
        let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
        let line = Line::parse(&command, &words);
        let place = match line.place {
            Place::Command => "COMMAND".to_owned(),
            Place::Flag => "FLAG".to_owned(),
            Place::Value(argument) => argument.get_id().to_string(),
            Place::Nothing => "NOTHING".to_owned(),
        };
        format!("{} {:?} {place} {:?}", line.command.get_name(), line.words, line.current)
    }

    #[test]
    fn the_argument_at_the_cursor_is_found() {
        for (text, place) in [
            ("", "kubectl-replicas [] COMMAND \"\""),
            ("li", "kubectl-replicas [] COMMAND \"li\""),
            ("-n shop ", "kubectl-replicas [] COMMAND \"\""),
            ("nosuch ", "kubectl-replicas [\"nosuch\"] NOTHING \"\""),
            ("config ", "config [] COMMAND \"\""),
            ("config set ad", "set [] setting \"ad\""),
            ("config set address ", "set [\"address\"] value \"\""),
            ("config set address x ", "set [\"address\", \"x\"] NOTHING \"\""),
            ("ls w", "list [] words \"w\""),
            ("list web sts/db ", "list [\"web\", \"sts/db\"] words \"\""),
            ("get sts ", "get [\"sts\"] words \"\""),
            ("get sts db ", "get [\"sts\", \"db\"] words \"\""),
            ("list --out", "list [] FLAG \"--out\""),
            ("list -", "list [] FLAG \"-\""),
            ("list --output js", "list [] output \"js\""),
            ("list --output=js", "list [] output \"js\""),
            ("list -o js", "list [] output \"js\""),
            ("list -o=js", "list [] output \"js\""),
            ("list -Ao js", "list [] output \"js\""),
            ("list -ojson ", "list [] words \"\""),
            ("list --no-such x", "list [] words \"x\""),
            ("list --all-targets=x", "list [] NOTHING \"x\""),
            ("set web 3 --for ", "set [\"web\", \"3\"] for \"\""),
            ("set --for 2h web --dry-run ", "set [\"web\"] words \"\""),
            ("set --dry-run=se", "set [] dry_run \"se\""),
            ("set -- -x", "set [] words \"-x\""),
            ("set web --context ", "set [\"web\"] context \"\""),
            ("--context a list ", "list [] words \"\""),
        ] {
            assert_eq!(describe(text), place, "{text:?}");
        }
    }

    #[test]
    fn the_flags_before_the_cursor_choose_the_connection() {
        let mut command = cli::command();
        command.build();
        let read = |text: &str| {
            let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
            let connection = Line::parse(&command, &words).connection().unwrap();
            (connection.kube.namespace.unwrap_or_default(), connection.kube.context.unwrap_or_default())
        };
        for (text, namespace, context) in [
            ("list ", "", ""),
            ("list -n shop ", "shop", ""),
            ("list -nshop --context=a ", "shop", "a"),
            ("--context a -n=shop set web=", "shop", "a"),
            ("list --address nowhere --request-timeout soon -n shop ", "shop", ""),
            ("list --as-group a --as-group b --as c -n shop ", "shop", ""),
            ("list -n ", "", ""),
        ] {
            assert_eq!(read(text), (namespace.to_owned(), context.to_owned()), "{text}");
        }
    }
}
