//! What a command changes, for the operation log.

use std::{cell::RefCell, env, mem, time::Duration};

use contract::replicas::v1::Target;
use jiff::Timestamp;

use crate::{
    error::{Error, explain},
    kubernetes,
    operations::{Cluster, Operation, State, TargetChange, location, log},
    output, program,
    session::Session,
};

/// The most characters of a command that are kept: a line of a table shows fewer.
const MAX_COMMAND: usize = 500;

/// The flags whose values hold tokens or passwords.
const SECRET_FLAGS: [&str; 4] = ["--token", "--server", "-s", "--proxy-url"];

/// The short flags without a value, after which other short flags may follow in the same word.
const SHORT_SWITCHES: &str = "Awy";

/// How long the command may wait for the identity of the cluster. Without it, the address stands for the cluster.
const IDENTITY: Duration = Duration::from_secs(2);

/// The changes of a command. A change that has begun and not ended is kept with an unknown result.
pub(super) struct Journal {
    at: Timestamp,
    changes: RefCell<Vec<Option<TargetChange>>>,
}

/// A change that has begun.
#[derive(Clone, Copy)]
pub(super) struct Begun(usize);

impl Journal {
    pub(super) fn new() -> Self {
        Self { at: Timestamp::now(), changes: RefCell::default() }
    }

    /// Begins a change.
    pub(super) fn begin(&self, target: Target, before: State) -> Begun {
        let mut changes = self.changes.borrow_mut();
        changes.push(Some(TargetChange::begin(target, before)));
        Begun(changes.len() - 1)
    }

    /// Ends a change with its result.
    pub(super) fn finish(&self, Begun(index): Begun, before: State, after: State) {
        if let Some(Some(change)) = self.changes.borrow_mut().get_mut(index) {
            (change.before, change.after) = (before, after);
        }
    }

    /// Forgets a change that was not made.
    pub(super) fn cancel(&self, Begun(index): Begun) {
        if let Some(change) = self.changes.borrow_mut().get_mut(index) {
            *change = None;
        }
    }

    /// Writes the changes into the log, unless there are none. A log that cannot be written is no reason to fail: the
    /// changes are made.
    pub(super) async fn record(self, session: &Session, undoes: Option<u64>) {
        let targets: Vec<_> = self.changes.into_inner().into_iter().flatten().collect();
        // A user without a home folder, as in a pod, wants no log.
        let Some(path) = location::path().filter(|_| !targets.is_empty()) else { return };
        let recorded = identify(session).await.map_err(Error::from).and_then(|cluster| {
            let operation = Operation {
                number: 0,
                at: self.at,
                command: command(env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned())),
                context: session.context().unwrap_or_default().to_owned(),
                cluster,
                user: session.user.clone(),
                undoes,
                targets,
            };
            Ok(log::append(&path, operation)?)
        });
        if let Err(error) = recorded {
            let subject = "warning: `kubectl replicas undo` cannot take this back";
            output::note(&explain(&program::in_hint(subject), &error));
        }
    }
}

/// Finds out which cluster it is.
pub(super) async fn identify(session: &Session) -> Result<Cluster, kubernetes::Error> {
    let (uid, address) = session.identity(IDENTITY).await?;
    Ok(Cluster { uid, address })
}

/// The words of a command in one line.
fn command(words: impl Iterator<Item = String>) -> String {
    let quote =
        |word: String| if word.is_empty() || word.contains(char::is_whitespace) { format!("'{word}'") } else { word };
    let line = without_secrets(words).map(quote).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_COMMAND) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Leaves out tokens and passwords: the log keeps them longer than the user knows.
fn without_secrets(words: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    let mut is_secret = false;
    words.map(move |word| {
        let group = short_flags_with_server(&word);
        let needs_value = SECRET_FLAGS.contains(&word.as_str()) || group.is_some_and(|(_, value)| value.is_empty());
        let is_value = mem::replace(&mut is_secret, needs_value);
        match (word.split_once('='), group) {
            _ if is_value => "…".to_owned(),
            (Some((flag, _)), _) if SECRET_FLAGS.contains(&flag) => format!("{flag}=…"),
            (_, Some((flags, value))) if !value.is_empty() => format!("-{flags}s…"),
            _ if word.contains("://") && word.contains('@') => "…".to_owned(),
            _ => word,
        }
    })
}

/// The short flags before `-s` in a word, and the value of `-s` if it is in the same word: `-As https://a`, `-shttps://a`.
fn short_flags_with_server(word: &str) -> Option<(&str, &str)> {
    let flags = word.strip_prefix('-').filter(|flags| !flags.starts_with('-'))?;
    flags.split_once('s').filter(|(others, _)| others.chars().all(|flag| SHORT_SWITCHES.contains(flag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_kept_in_one_line() {
        let words = |line: &[&str]| command(line.iter().map(|word| (*word).to_owned()));
        assert_eq!(words(&["set", "web", "3", "--reason", "black friday"]), "set web 3 --reason 'black friday'");
        assert_eq!(words(&["set", &"x".repeat(600)]).chars().count(), MAX_COMMAND + 1);
    }

    #[test]
    fn no_secret_of_a_command_is_kept() {
        for (line, kept) in [
            ("set web 3 --token s3cret -A", "set web 3 --token … -A"),
            ("--token=s3cret set web 3", "--token=… set web 3"),
            ("set web 3 --proxy-url http://me:s3cret@a", "set web 3 --proxy-url …"),
            ("set web 3 -s me:s3cret@a", "set web 3 -s …"),
            ("set web 3 -shttps://me:s3cret@a", "set web 3 -s…"),
            ("set web 3 -sme:s3cret@a", "set web 3 -s…"),
            ("set web 3 -s=me:s3cret@a", "set web 3 -s=…"),
            ("set web 3 -As me:s3cret@a", "set web 3 -As …"),
            ("set web 3 -ys me:s3cret@a -A", "set web 3 -ys … -A"),
            ("set web 3 -yAsme:s3cret@a", "set web 3 -yAs…"),
            ("set web 3 -s --token=s3cret", "set web 3 -s …"),
            ("set web 3 -ltier=frontends -fcounts.yaml", "set web 3 -ltier=frontends -fcounts.yaml"),
            ("set web 3 --server=https://a", "set web 3 --server=…"),
        ] {
            assert_eq!(command(line.split(' ').map(str::to_owned)), kept);
        }
    }

    #[test]
    fn a_change_without_an_answer_stays_unknown() {
        let journal = Journal::new();
        let target = |name: &str| Target { name: name.to_owned(), ..Target::default() };
        let [made, failed, _open] =
            ["made", "failed", "open"].map(|name| journal.begin(target(name), State::Unmanaged(Vec::new())));
        journal.finish(made, State::Unknown, State::Unmanaged(vec![3]));
        journal.cancel(failed);
        let changes: Vec<_> = journal.changes.into_inner().into_iter().flatten().collect();
        let shown: Vec<_> = changes.iter().map(|change| (change.name.as_str(), change.after.clone())).collect();
        assert_eq!(shown, [("made", State::Unmanaged(vec![3])), ("open", State::Unknown)]);
    }
}
