//! Prints the states of targets as they change.

use contract::replicas::v1::{ReplicaCount, Target};
use jiff::Timestamp;

use super::known::Change;
use crate::{
    output::{self, DocumentFormat, Error, Format, document, rows::GrowingTable, table::Columns},
    target,
};

/// Prints states in a format.
pub(super) enum Printer {
    Table(GrowingTable),
    Texts(Texts),
}

impl Printer {
    pub(super) fn new(format: Format, with_namespaces: bool) -> Self {
        let texts = |format| Self::Texts(Texts { format, with_namespaces, has_printed: false });
        match format {
            Format::Table | Format::Wide => {
                let (namespace, wide, width) = (with_namespaces, format == Format::Wide, output::terminal_width());
                Self::Table(GrowingTable::new(Columns { namespace, wide, width, ..Columns::default() }))
            }
            Format::Json => texts(TextFormat::Json),
            Format::Yaml => texts(TextFormat::Yaml),
            Format::Name => texts(TextFormat::Name),
        }
    }

    /// Prints the first states.
    pub(super) fn print_all<'a>(&mut self, counts: impl Iterator<Item = &'a ReplicaCount>) -> Result<(), Error> {
        match self {
            Self::Table(table) => output::print_rows(&table.add(counts, Timestamp::now())),
            Self::Texts(texts) => {
                let all: Result<String, _> = counts.map(|count| texts.of_state(count)).collect();
                output::print_document(&all?)
            }
        }
    }

    /// Prints a changed state. A table shows nothing of what has no column.
    pub(super) fn print_change(&mut self, Change { before, after }: &Change) -> Result<(), Error> {
        let now = Timestamp::now();
        match self {
            Self::Table(table) => {
                let is_same = before.as_ref().is_some_and(|before| !table.is_different(before, after, now));
                if is_same { Ok(()) } else { output::print_rows(&table.add([after], now)) }
            }
            Self::Texts(texts) => output::print_document(&texts.of_state(after)?),
        }
    }

    /// Prints that a target is gone.
    pub(super) fn print_gone(&mut self, target: &Target) -> Result<(), Error> {
        match self {
            Self::Table(table) => output::print_rows(&table.add_gone(target, Timestamp::now())),
            Self::Texts(texts) => output::print_document(&texts.of_gone(target)?),
        }
    }
}

/// The texts of one state after the other, for programs.
pub(super) struct Texts {
    format: TextFormat,
    /// Whether a name comes with the flag of its namespace.
    with_namespaces: bool,
    /// Whether there was a text before.
    has_printed: bool,
}

#[derive(Clone, Copy)]
enum TextFormat {
    /// One object a line.
    Json,
    /// One document a state.
    Yaml,
    /// One name a line.
    Name,
}

impl Texts {
    fn of_state(&mut self, count: &ReplicaCount) -> Result<String, Error> {
        match self.format {
            TextFormat::Json => output::serialize_line(&document::one(count.clone())),
            TextFormat::Yaml => {
                Ok(self.after_separator(output::serialize(&document::one(count.clone()), DocumentFormat::Yaml)?))
            }
            TextFormat::Name => Ok(self.name(&count.target.clone().unwrap_or_default())),
        }
    }

    fn of_gone(&mut self, target: &Target) -> Result<String, Error> {
        match self.format {
            TextFormat::Json => output::serialize_line(&document::removed(target.clone())),
            TextFormat::Yaml => {
                Ok(self.after_separator(output::serialize(&document::removed(target.clone()), DocumentFormat::Yaml)?))
            }
            TextFormat::Name => Ok(self.name(target)),
        }
    }

    fn name(&self, target: &Target) -> String {
        let name = if self.with_namespaces { target::with_flag(target) } else { target::name(target) };
        output::printable(&name) + "\n"
    }

    fn after_separator(&mut self, document: String) -> String {
        if std::mem::replace(&mut self.has_printed, true) { format!("---\n{document}") } else { document }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_separated_and_a_target_that_is_gone_is_marked() {
        let target =
            Target { namespace: "shop".into(), group: "apps".into(), kind: "Deployment".into(), name: "web".into() };
        let count = ReplicaCount { target: Some(target.clone()), desired: Some(3), ..ReplicaCount::default() };
        let start = r#"{"apiVersion":"cli.replica-count-manager.io/v1","kind":"ReplicaCountView","target":"#;
        let shown_target = r#"{"namespace":"shop","group":"apps","kind":"Deployment","name":"web"}"#;
        let yaml = |rest: &str| {
            let target = "target:\n  namespace: shop\n  group: apps\n  kind: Deployment\n  name: web\n";
            format!("apiVersion: cli.replica-count-manager.io/v1\nkind: ReplicaCountView\n{target}{rest}")
        };
        for (format, with_namespaces, expected) in [
            (
                TextFormat::Json,
                true,
                format!(
                    "{start}{shown_target},\"desired\":3,\"drifts\":0}}\n{start}{shown_target},\"removed\":true}}\n"
                ),
            ),
            (TextFormat::Yaml, true, format!("{}---\n{}", yaml("desired: 3\ndrifts: 0\n"), yaml("removed: true\n"))),
            (TextFormat::Name, false, "deployment.apps/web\n".repeat(2)),
            (TextFormat::Name, true, "--namespace=shop deployment.apps/web\n".repeat(2)),
        ] {
            let mut texts = Texts { format, with_namespaces, has_printed: false };
            assert_eq!(texts.of_state(&count).unwrap() + &texts.of_gone(&target).unwrap(), expected);
        }
    }
}
