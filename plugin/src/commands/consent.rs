//! The question before a command that changes much: more than one target, or a count of 0.

use std::io::{self, IsTerminal};

use clap::Args;
use tokio::task;

use super::{
    preview::{self, Preview},
    write::Write,
};
use crate::{
    error::Error,
    output::{
        self,
        plan::{self, Row},
    },
    session::Session,
};

/// The flag `--yes`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct YesArgs {
    /// Do not ask before changing several targets, or before a count of 0
    #[arg(short, long)]
    pub(super) yes: bool,
}

/// A command that may have to ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    /// What the question asks for, such as `Set`.
    pub(super) ask: &'static str,
    /// What is not done without an answer, such as `set`.
    pub(super) done: &'static str,
    /// Whether the words of the command name each target.
    pub(super) is_named: bool,
    pub(super) yes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Consent {
    Given,
    /// The user has to be asked.
    Open,
    /// There is no terminal to ask on.
    Missing,
}

/// Decides whether to ask. A script that names each target means them, as it did before there was a question.
fn decide(question: Question, targets: usize, has_zero: bool, is_terminal: bool) -> Consent {
    let is_due = targets > 1 || has_zero;
    match (is_due && !question.yes, is_terminal) {
        (false, _) => Consent::Given,
        (true, true) => Consent::Open,
        (true, false) if question.is_named => Consent::Given,
        (true, false) => Consent::Missing,
    }
}

/// Whether somebody can read a question and answer it.
fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for consent to the writes, if that is due. A dry run needs none.
pub(super) async fn obtain(session: &Session, writes: &[Write], question: Question) -> Result<(), Error> {
    let has_zero = writes.iter().any(Write::leads_to_zero);
    if writes.iter().all(|write| write.dry_run) {
        return Ok(());
    }
    match decide(question, writes.len(), has_zero, is_terminal()) {
        Consent::Given => return Ok(()),
        Consent::Missing => {
            return Err(Error::NoConsent { targets: writes.len(), done: question.done });
        }
        Consent::Open => {}
    }
    let previews = preview::all(session, writes).await?;
    show(&session.namespace, writes, &previews);
    ask(question, writes).await
}

/// Shows on stderr what the writes lead to.
fn show(home: &str, writes: &[Write], previews: &[Preview]) {
    let rows: Vec<_> = writes.iter().zip(previews).map(|(write, preview)| row(write, preview)).collect();
    let is_elsewhere = rows.iter().any(|row| row.namespace != home);
    output::note(plan::plan(&rows, ["NOW", "NEW"], is_elsewhere, output::error_terminal_width()).trim_end());
}

/// The row of a write in a plan.
pub(super) fn row(write: &Write, preview: &Preview) -> Row {
    let note = preview.problem.iter().chain(&preview.notes).cloned().collect::<Vec<_>>().join("; ");
    Row {
        namespace: write.target.namespace.clone(),
        target: crate::target::name(&write.target),
        now: preview.now,
        new: preview.new,
        note,
    }
}

/// Asks for consent, if that is due, to writes that were shown before.
pub(super) async fn obtain_for_shown(writes: &[Write], question: Question) -> Result<(), Error> {
    // These are always chosen by the command, so even a single one is asked about.
    match decide(question, writes.len().max(2), false, is_terminal()) {
        Consent::Given => Ok(()),
        Consent::Missing => Err(Error::NoConsent { targets: writes.len(), done: question.done }),
        Consent::Open => ask(question, writes).await,
    }
}

async fn ask(question: Question, writes: &[Write]) -> Result<(), Error> {
    let what = match writes {
        [one] => one.name.clone(),
        all => format!("{} targets", all.len()),
    };
    output::prompt(&format!("{} {what}? [y/N]", question.ask));
    let read = || {
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map(|_| answer)
    };
    // An answer that cannot be read is none.
    let answer = task::spawn_blocking(read).await.ok().and_then(Result::ok).unwrap_or_default();
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::Declined { done: question.done }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_due_for_several_targets_or_a_zero() {
        struct Row {
            name: &'static str,
            targets: usize,
            has_zero: bool,
            is_named: bool,
            yes: bool,
            /// On a terminal, and without one.
            consent: [Consent; 2],
        }
        use Consent::{Given, Missing, Open};
        let row =
            |name, targets, has_zero, is_named, yes, consent| Row { name, targets, has_zero, is_named, yes, consent };
        for Row { name, targets, has_zero, is_named, yes, consent } in [
            row("one target", 1, false, true, false, [Given, Given]),
            row("one target to 0", 1, true, true, false, [Open, Given]),
            row("several targets", 2, false, true, false, [Open, Given]),
            row("several targets with --yes", 2, true, true, true, [Given, Given]),
            row("one selected target", 1, false, false, false, [Given, Given]),
            row("one selected target to 0", 1, true, false, false, [Open, Missing]),
            row("several selected targets", 2, false, false, false, [Open, Missing]),
            row("several selected targets with --yes", 2, false, false, true, [Given, Given]),
        ] {
            let question = Question { ask: "Set", done: "set", is_named, yes };
            let found = [true, false].map(|terminal| decide(question, targets, has_zero, terminal));
            assert_eq!(found, consent, "{name}");
        }
    }
}
