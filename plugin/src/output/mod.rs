//! What the user sees: data on stdout, everything else on stderr.

mod describe;
pub(crate) mod document;
#[cfg(test)]
mod fuzz;
pub(crate) mod table;
mod text;

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

pub(crate) use self::{describe::describe, text::not_ready};
use crate::error::Error;

/// How replica counts are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people
    #[default]
    Table,
    /// The table with more columns
    Wide,
    /// JSON for programs
    Json,
    /// YAML for programs
    Yaml,
    /// Only the names, as kubectl takes them
    Name,
}

/// How a document for programs is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DocumentFormat {
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// Writes data to stdout.
pub(crate) fn data(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Error::Output)
}

/// The lines that a command prints while it works.
///
/// What it does must not depend on whether anybody reads on: a line that cannot be written is only remembered, and the
/// work goes on without printing.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    broken: Option<Error>,
}

impl Lines {
    /// Prints a line, unless one before could not be written.
    pub(crate) fn print(&mut self, line: &str) {
        if self.broken.is_none() {
            self.broken = data(line).err();
        }
    }

    /// The end of the command: a line that could not be written is its failure if there is no other.
    pub(crate) fn end(self, result: Result<(), Error>) -> Result<(), Error> {
        result.and(self.broken.map_or(Ok(()), Err))
    }
}

/// Tells people something on stderr, where a line that cannot be written is nobody's loss.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// A document as JSON or YAML, with a line break at its end.
pub(crate) fn serialize(document: &impl Serialize, format: DocumentFormat) -> Result<String, Error> {
    match format {
        DocumentFormat::Json => {
            let json = serde_json::to_string_pretty(document);
            json.map(|json| json + "\n").map_err(|source| Error::Format { format: "JSON", source: source.into() })
        }
        DocumentFormat::Yaml => {
            serde_yaml::to_string(document).map_err(|source| Error::Format { format: "YAML", source: source.into() })
        }
    }
}
