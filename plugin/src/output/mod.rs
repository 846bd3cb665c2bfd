//! The output: data on stdout, everything else on stderr.

mod blame;
mod describe;
pub(crate) mod document;
#[cfg(test)]
mod fuzz;
pub(crate) mod history;
pub(crate) mod manifest;
mod paint;
pub(crate) mod plan;
pub(crate) mod rows;
pub(crate) mod table;
mod text;

use std::{
    error::Error as StdError,
    io::{self, Write},
};

use clap::{ValueEnum, builder::StyledStr};
use console::Term;
use serde::Serialize;

use crate::{color, terminal};

use self::rows::Rows;
pub(crate) use self::{
    blame::Blame,
    describe::describe,
    text::{actor, count_or_none, has_other_count, printable, status, why_not_ready},
};

/// Why the output cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to write the output")]
    Write(#[source] io::Error),
    #[error("failed to show the result as {format}")]
    Format { format: &'static str, source: Box<dyn StdError + Send + Sync> },
}

/// A format of replica counts.
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
    /// Only the names, as kubectl accepts them
    Name,
}

/// A format of a report, which has rows of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// A table for people, cut to the width of a terminal
    #[default]
    Table,
    /// The whole table
    Wide,
    /// JSON for programs
    Json,
    /// YAML for programs
    Yaml,
}

/// A format of documents for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DocumentFormat {
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// Writes text for people to stdout. Unsafe characters are replaced.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    print_document(&terminal::lines(text))
}

/// Writes a table to stdout. Unsafe characters are replaced.
pub(crate) fn print_table(text: &str) -> Result<(), Error> {
    let text = terminal::lines(text);
    print_document(&if color::on_stdout() { paint::table(&text) } else { text })
}

/// Writes the next rows of a table that grows to stdout. Unsafe characters are replaced.
pub(crate) fn print_rows(rows: &Rows) -> Result<(), Error> {
    let text = terminal::lines(&rows.text);
    let text = if color::on_stdout() { paint::table(&text) } else { text };
    let without_header = || text.split_once('\n').map_or("", |(_, rest)| rest);
    print_document(if rows.has_new_header { &text } else { without_header() })
}

/// Writes lines that begin with marks to stdout. Unsafe characters are replaced.
pub(crate) fn print_marked(text: &str) -> Result<(), Error> {
    let text = terminal::lines(text);
    print_document(&if color::on_stdout() { paint::marks(&text) } else { text })
}

/// Writes help to stdout, or to stderr if it stands for an error.
pub(crate) fn print_help(help: &StyledStr, is_error: bool) -> Result<(), Error> {
    let has_colors = if is_error { color::on_stderr() } else { color::on_stdout() };
    let text = if has_colors { help.ansi().to_string() } else { help.to_string() };
    match is_error {
        true => io::stderr().write_all(text.as_bytes()).map_err(Error::Write),
        false => print_document(&text),
    }
}

/// Writes a document to stdout exactly.
pub(crate) fn print_document(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Error::Write)
}

/// The width of the terminal on stdout, in columns, if it is one.
pub(crate) fn terminal_width() -> Option<usize> {
    width_of(&Term::stdout())
}

/// The width of the terminal on stderr, in columns, if it is one.
pub(crate) fn error_terminal_width() -> Option<usize> {
    width_of(&Term::stderr())
}

fn width_of(terminal: &Term) -> Option<usize> {
    let (_, columns) = terminal.size_checked()?;
    Some(columns.into())
}

/// The lines that a command prints while it works.
///
/// The work must not depend on the reader of stdout. When a line cannot be written, the error is kept for the end, and
/// the work continues without output.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    is_silent: bool,
    error: Option<Error>,
}

impl Lines {
    /// Prints no lines, but the document at the end.
    pub(crate) fn silent() -> Self {
        Self { is_silent: true, error: None }
    }

    /// Prints a line, unless an earlier one could not be written. A line break at its end is optional.
    pub(crate) fn print(&mut self, line: &str) {
        if self.error.is_none() && !self.is_silent {
            self.error = print(&(terminal::one_line(line.trim_end()) + "\n")).err();
        }
    }

    /// Sums up on stderr what the lines say.
    pub(crate) fn sum_up(&self, text: &str) {
        if !self.is_silent {
            note(text);
        }
    }

    /// Prints a document, unless something earlier could not be written.
    pub(crate) fn print_document(&mut self, document: Result<String, Error>) {
        if self.error.is_none() {
            self.error = document.and_then(|document| print_document(&document)).err();
        }
    }

    /// Ends the command with its result. If that is a success, a line that could not be written is the failure.
    pub(crate) fn end<E: From<Error>>(self, result: Result<(), E>) -> Result<(), E> {
        result.and(self.error.map_or(Ok(()), |error| Err(error.into())))
    }
}

/// Writes a message to stderr. Unsafe characters are replaced. The work goes on if that fails.
pub(crate) fn note(text: &str) {
    let text = terminal::lines(text);
    let text = if color::on_stderr() { paint::note(&text) } else { text };
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes a document as one line of JSON.
pub(crate) fn serialize_line(document: &impl Serialize) -> Result<String, Error> {
    let json = serde_json::to_string(document);
    json.map(|json| terminal::escape_json(&json) + "\n")
        .map_err(|source| Error::Format { format: "JSON", source: source.into() })
}

/// Writes the beginning of a line to stderr, for an answer on the same line.
pub(crate) fn prompt(text: &str) {
    let _ = write!(io::stderr(), "{} ", terminal::one_line(text));
}

/// Writes a document as JSON or YAML, with a line break at its end.
pub(crate) fn serialize(document: &impl Serialize, format: DocumentFormat) -> Result<String, Error> {
    match format {
        DocumentFormat::Json => {
            let json = serde_json::to_string_pretty(document);
            json.map(|json| terminal::escape_json(&json) + "\n")
                .map_err(|source| Error::Format { format: "JSON", source: source.into() })
        }
        DocumentFormat::Yaml => {
            let yaml = serde_yaml::to_string(document);
            let yaml = yaml.map_err(|source| Error::Format { format: "YAML", source: source.into() })?;
            // JSON is YAML, and can escape each character.
            if terminal::lines(&yaml) == yaml { Ok(yaml) } else { serialize(document, DocumentFormat::Json) }
        }
    }
}
