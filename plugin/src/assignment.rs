//! The arguments of `kubectl replicas set`: targets, and the count of each.

use crate::target::{self, TargetRef};

/// A target and the count to hold it at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) target: TargetRef,
    /// The count. None means the target's current count.
    pub(crate) replicas: Option<i32>,
}

/// Where the counts come from, according to the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CountSource {
    /// Each argument names a count.
    Arguments,
    /// A flag names one count for all targets.
    Flag(i32),
    /// Each target keeps its current count.
    Current,
}

/// Why the arguments cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Target(#[from] target::Error),
    #[error("no count is given for {target}")]
    NoCount { target: String },
    #[error("{word:?} is not a count of replicas")]
    Count { word: String },
    #[error("{word:?} names a count, and so does a flag")]
    TwoCounts { word: String },
    #[error("{word:?} names no count, as the other words do")]
    Mixed { word: String },
    #[error("{words:?} is neither a TARGET and its COUNT nor TARGET=COUNT...")]
    Form { words: String },
}

impl Error {
    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Target(error) => return error.hint(),
            Self::NoCount { .. } | Self::Mixed { .. } | Self::Form { .. } => {
                "use `set TARGET COUNT`, `set TARGET=COUNT...` or `set --replicas COUNT TARGET...`"
            }
            Self::Count { .. } => "give a whole number, 0 or more",
            Self::TwoCounts { .. } => "leave out either the flag or the =COUNT",
        };
        Some(hint.to_owned())
    }
}

/// Reads `TARGET COUNT`, `TARGET=COUNT…`, or `TARGET…` with a count from the flags.
pub(crate) fn parse(words: &[String], source: CountSource) -> Result<Vec<Assignment>, Error> {
    let assignments = match source {
        CountSource::Flag(replicas) => assign_same(words, Some(replicas))?,
        CountSource::Current => assign_same(words, None)?,
        CountSource::Arguments if words.iter().any(|word| word.contains('=')) => assign_each(words)?,
        CountSource::Arguments => assign_pair(words)?,
    };
    target::check_distinct(&assignments.iter().map(|assignment| &assignment.target).collect::<Vec<_>>())?;
    Ok(assignments)
}

/// Reads a count, which must not be negative.
pub(crate) fn parse_count(word: &str) -> Result<i32, Error> {
    let count = word.parse().ok().filter(|count| *count >= 0);
    count.ok_or_else(|| Error::Count { word: word.to_owned() })
}

fn assign_same(words: &[String], replicas: Option<i32>) -> Result<Vec<Assignment>, Error> {
    let assign = |word: &String| match word.contains('=') {
        true => Err(Error::TwoCounts { word: word.clone() }),
        false => Ok(Assignment { target: word.parse()?, replicas }),
    };
    words.iter().map(assign).collect()
}

fn assign_each(words: &[String]) -> Result<Vec<Assignment>, Error> {
    let assign = |word: &String| {
        let (target, count) = word.split_once('=').ok_or_else(|| Error::Mixed { word: word.clone() })?;
        Ok(Assignment { target: target.parse()?, replicas: Some(parse_count(count)?) })
    };
    words.iter().map(assign).collect()
}

fn assign_pair(words: &[String]) -> Result<Vec<Assignment>, Error> {
    match words {
        [target, count] => Ok(vec![Assignment { target: target.parse()?, replicas: Some(parse_count(count)?) }]),
        words if words.iter().any(|word| parse_count(word).is_ok()) => Err(Error::Form { words: words.join(" ") }),
        words => Err(Error::NoCount { target: words.join(", ") }),
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
