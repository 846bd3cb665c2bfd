//! The arguments of `kubectl replicas set`: targets, and the count of each.

use crate::{
    count::{self, Count},
    target::{self, TargetRef},
    words,
};

/// A target and the count to hold it at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) target: TargetRef,
    pub(crate) count: Count,
}

/// Where the counts come from, according to the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CountSource {
    /// Each argument names a count.
    Arguments,
    /// A flag names one count for all targets.
    Flag(Count),
}

/// Why the arguments cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Words(#[from] words::Error),
    #[error(transparent)]
    Count(#[from] count::Error),
    #[error("no count is given for {target}")]
    NoCount { target: String },
    #[error("{word:?} names a count, and so does a flag")]
    TwoCounts { word: String },
    #[error("{word:?} names no count, as the other words do")]
    Mixed { word: String },
    #[error("{words:?} is neither a TARGET and its COUNT nor TARGET=COUNT...")]
    Form { words: String },
}

impl From<target::Error> for Error {
    fn from(error: target::Error) -> Self {
        Self::Words(error.into())
    }
}

impl Error {
    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Words(error) => return error.hint(),
            Self::Count(error) => return Some(error.hint()),
            Self::NoCount { .. } | Self::Mixed { .. } | Self::Form { .. } => {
                "write TARGET COUNT, KIND NAME COUNT, TARGET=COUNT..., or --replicas COUNT TARGET..."
            }
            Self::TwoCounts { .. } => "leave out either the flag or the count among the words",
        };
        Some(hint.to_owned())
    }
}

/// Reads `TARGET COUNT`, `KIND NAME COUNT`, `TARGET=COUNT…`, or `TARGET…` and `KIND NAME…` with a count from the flags.
pub(crate) fn parse(words: &[String], source: CountSource) -> Result<Vec<Assignment>, Error> {
    let assignments = match source {
        CountSource::Flag(count) => assign_same(words, count)?,
        CountSource::Arguments if words.iter().any(|word| split(word).is_some()) => assign_each(words)?,
        CountSource::Arguments => vec![assign_last(words)?],
    };
    target::check_distinct(&assignments.iter().map(|assignment| &assignment.target).collect::<Vec<_>>())?;
    Ok(assignments)
}

/// Splits `TARGET=COUNT`. A word that starts with an equals sign is a count.
fn split(word: &str) -> Option<(&str, &str)> {
    word.split_once('=').filter(|(target, _)| !target.is_empty())
}

fn assign_same(words: &[String], count: Count) -> Result<Vec<Assignment>, Error> {
    // After a kind, each word is a name. `x2` may always be one.
    let follows_kind = words.first().is_some_and(|first| words::parse_pair(first, "x").is_some());
    let names_count = |word: &&String| word.contains('=') || !follows_kind && is_count(word) && !word.starts_with('x');
    match words.iter().find(names_count) {
        Some(word) => Err(Error::TwoCounts { word: word.clone() }),
        None => Ok(words::parse(words)?.into_iter().map(|target| Assignment { target, count }).collect()),
    }
}

fn assign_each(words: &[String]) -> Result<Vec<Assignment>, Error> {
    let assign = |word: &String| {
        let (target, count) = split(word).ok_or_else(|| Error::Mixed { word: word.clone() })?;
        Ok(Assignment { target: words::parse_one(target)?, count: count::parse(count)? })
    };
    words.iter().map(assign).collect()
}

fn assign_last(words: &[String]) -> Result<Assignment, Error> {
    let form = || Error::Form { words: words.join(" ") };
    let target = match words {
        [target, _] => words::parse_one(target)?,
        [kind, name, count] if is_count(count) => words::parse_pair(kind, name).ok_or_else(form)??,
        words if words.iter().any(|word| is_count(word)) => return Err(form()),
        words => return Err(Error::NoCount { target: words.join(", ") }),
    };
    // There is a last word in both cases.
    let count = words.last().map_or("", String::as_str);
    Ok(Assignment { target, count: count::parse(count)? })
}

fn is_count(word: &str) -> bool {
    count::parse(word).is_ok()
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
