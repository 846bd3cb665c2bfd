//! Completion: the candidates for the word at the cursor of a command line.
//!
//! kubectl sends the words after `kubectl replicas`, up to the cursor, and so do the scripts of `completion`. The answer
//! is that of cobra's `__complete`: a candidate in each line, perhaps with a description after a tab, and a directive in
//! the last line (cobra's `completions.go` and kubectl's `plugin_completion.go`, versions 1.10 and 1.37).
//!
//! [`line`] finds the argument at the cursor in clap's description of the commands, and [`values`] its values by the name
//! that its value has in the help. So a new command is completed without more code.

mod candidate;
#[cfg(test)]
mod fuzz;
mod line;
mod lookup;
mod targets;
mod values;

use std::ffi::OsString;

use clap::Command;

use self::{candidate::Candidate, line::Line, values::Answer};
use crate::terminal::{is_unsafe, one_line};

/// cobra's directives. Those that are not set leave the shell's own completion of files on.
const NO_SPACE: u8 = 2;
const NO_FILES: u8 = 4;
const ONLY_FOLDERS: u8 = 16;

/// Completes the last of the words, and returns the answer.
///
/// Without a connection within a second there are only the candidates that need none.
pub(crate) fn answer(mut command: Command, words: &[OsString]) -> String {
    command.build();
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let line = Line::parse(&command, &words);
    show(values::at(&line), line.current)
}

/// Writes the candidates that continue the current word.
fn show(answer: Answer, current: &str) -> String {
    let candidates = match answer {
        Answer::Candidates(candidates) => candidates,
        Answer::Files => return ":0\n".to_owned(),
        Answer::Folders => return format!(":{ONLY_FOLDERS}\n"),
    };
    let fitting = |candidate: &Candidate| candidate.value.starts_with(current) && is_plain(&candidate.value);
    let candidates: Vec<_> = candidates.into_iter().filter(fitting).collect();
    let is_open = |candidate: &Candidate| candidate.value.ends_with('=');
    let is_open = !candidates.is_empty() && candidates.iter().all(is_open);
    let lines = candidates.into_iter().map(|Candidate { value, description }| match one_line(&description).trim() {
        "" => format!("{value}\n"),
        description => format!("{value}\t{description}\n"),
    });
    let directive = if is_open { NO_FILES | NO_SPACE } else { NO_FILES };
    lines.chain([format!(":{directive}\n")]).collect()
}

/// Whether a word means itself in every shell. Names of others could otherwise run commands, and the line that starts
/// with a colon is the directive.
fn is_plain(word: &str) -> bool {
    let is_special = |c: char| is_unsafe(c) || c.is_whitespace() || "\"'`\\$&|;<>(){}[]*?!#~".contains(c);
    !word.starts_with(':') && !word.chars().any(is_special)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(values: &[(&str, &str)]) -> Answer {
        Answer::Candidates(values.iter().map(|(value, description)| Candidate::new(*value, *description)).collect())
    }

    #[test]
    fn the_answer_is_in_the_protocol_of_cobra() {
        for (name, answer, current, text) in [
            ("nothing", candidates(&[]), "", ":4\n"),
            ("descriptions", candidates(&[("web", "3/3"), ("db", "")]), "", "web\t3/3\ndb\n:4\n"),
            ("a part of a word", candidates(&[("web", ""), ("api", "")]), "w", "web\n:4\n"),
            ("open words", candidates(&[("web=", ""), ("api=", "")]), "", "web=\napi=\n:6\n"),
            ("open and closed words", candidates(&[("web=", ""), ("api", "")]), "", "web=\napi\n:4\n"),
            ("files", Answer::Files, "x", ":0\n"),
            ("folders", Answer::Folders, "x", ":16\n"),
            ("lines of others", candidates(&[("web", "a\nb\tc\u{1b}[2J")]), "", "web\ta b c [2J\n:4\n"),
            (
                "names of others",
                candidates(&[("$(reboot)", ""), ("a b", ""), (":0", ""), ("a\u{1b}", ""), ("arn:aws:eks/x", "")]),
                "",
                "arn:aws:eks/x\n:4\n",
            ),
        ] {
            assert_eq!(show(answer, current), text, "{name}");
        }
    }
}
