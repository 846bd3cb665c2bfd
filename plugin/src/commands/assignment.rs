//! The words of `kubectl replicas set`: which targets, and which count for each.

use crate::target::{self, TargetRef};

/// A target and the count to hold it at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// The target.
    pub(super) target: TargetRef,
    /// The count; none means the one that the target has now.
    pub(super) replicas: Option<i32>,
}

/// What the flags say about the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// Nothing: the words name the counts.
    InWords,
    /// This one for all targets.
    Given(i32),
    /// For each target the one that it has now.
    Current,
}

/// Why the words do not say what to set.
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
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Target(error) => return error.hint(),
            Self::NoCount { .. } | Self::Mixed { .. } | Self::Form { .. } => {
                "say `set TARGET COUNT`, `set TARGET=COUNT...` or `set --replicas COUNT TARGET...`"
            }
            Self::Count { .. } => "give a whole number, 0 or more",
            Self::TwoCounts { .. } => "leave out either the flag or the =COUNT",
        };
        Some(hint.to_owned())
    }
}

/// Reads `TARGET COUNT`, `TARGET=COUNT…`, or `TARGET…` with a count from the flags.
pub(super) fn parse(words: &[String], count: Count) -> Result<Vec<Assignment>, Error> {
    let assignments = match count {
        Count::Given(replicas) => same(words, Some(replicas))?,
        Count::Current => same(words, None)?,
        Count::InWords if words.iter().any(|word| word.contains('=')) => each(words)?,
        Count::InWords => pair(words)?,
    };
    target::check_distinct(&assignments.iter().map(|assignment| &assignment.target).collect::<Vec<_>>())?;
    Ok(assignments)
}

/// Reads a count.
pub(super) fn parse_count(word: &str) -> Result<i32, Error> {
    let count = word.parse().ok().filter(|count| *count >= 0);
    count.ok_or_else(|| Error::Count { word: word.to_owned() })
}

fn same(words: &[String], replicas: Option<i32>) -> Result<Vec<Assignment>, Error> {
    let assign = |word: &String| match word.contains('=') {
        true => Err(Error::TwoCounts { word: word.clone() }),
        false => Ok(Assignment { target: word.parse()?, replicas }),
    };
    words.iter().map(assign).collect()
}

fn each(words: &[String]) -> Result<Vec<Assignment>, Error> {
    let assign = |word: &String| {
        let (target, count) = word.split_once('=').ok_or_else(|| Error::Mixed { word: word.clone() })?;
        Ok(Assignment { target: target.parse()?, replicas: Some(parse_count(count)?) })
    };
    words.iter().map(assign).collect()
}

fn pair(words: &[String]) -> Result<Vec<Assignment>, Error> {
    match words {
        [target, count] => Ok(vec![Assignment { target: target.parse()?, replicas: Some(parse_count(count)?) }]),
        words if words.iter().any(|word| parse_count(word).is_ok()) => Err(Error::Form { words: words.join(" ") }),
        words => Err(Error::NoCount { target: words.join(", ") }),
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str, count: Count) -> Result<Vec<(String, Option<i32>)>, Error> {
        let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        let assignments = super::parse(&words, count)?;
        Ok(assignments.into_iter().map(|it| (it.target.to_string(), it.replicas)).collect())
    }

    #[test]
    fn each_form_says_which_count_is_for_which_target() {
        let web = |replicas| ("deployment.apps/web".to_owned(), replicas);
        let db = |replicas| ("statefulset.apps/db".to_owned(), replicas);
        let table = [
            ("web 3", Count::InWords, vec![web(Some(3))]),
            ("web 0", Count::InWords, vec![web(Some(0))]),
            ("web=3", Count::InWords, vec![web(Some(3))]),
            ("web=3 sts/db=0", Count::InWords, vec![web(Some(3)), db(Some(0))]),
            ("web sts/db", Count::Given(5), vec![web(Some(5)), db(Some(5))]),
            ("web sts/db", Count::Current, vec![web(None), db(None)]),
        ];
        for (text, count, expected) in table {
            assert_eq!(parse(text, count), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_assignment_is_refused() {
        let table = [
            ("web", Count::InWords, "no count is given for web"),
            ("web db api", Count::InWords, "no count is given for web, db, api"),
            ("web 3 db", Count::InWords, "\"web 3 db\" is neither a TARGET and its COUNT nor TARGET=COUNT..."),
            ("3", Count::InWords, "\"3\" is neither a TARGET and its COUNT nor TARGET=COUNT..."),
            ("web three", Count::InWords, "\"three\" is not a count of replicas"),
            ("web -1", Count::InWords, "\"-1\" is not a count of replicas"),
            ("web=", Count::InWords, "\"\" is not a count of replicas"),
            ("web=99999999999", Count::InWords, "\"99999999999\" is not a count of replicas"),
            ("web=3 db", Count::InWords, "\"db\" names no count, as the other words do"),
            ("web=3", Count::Given(4), "\"web=3\" names a count, and so does a flag"),
            ("web=3", Count::Current, "\"web=3\" names a count, and so does a flag"),
            ("web=3 deploy/web=4", Count::InWords, "deployment.apps/web is named twice"),
        ];
        for (text, count, expected) in table {
            assert_eq!(parse(text, count).unwrap_err().to_string(), expected, "{text}");
        }
        assert!(matches!(parse("we_b 3", Count::InWords), Err(Error::Target(_))));
    }

    proptest! {
        #[test]
        fn no_words_make_the_parser_panic(words in proptest::collection::vec(".*", 0..4)) {
            let _ = super::parse(&words, Count::InWords);
        }

        #[test]
        fn every_count_is_read(replicas in 0..=i32::MAX) {
            prop_assert_eq!(parse_count(&replicas.to_string()), Ok(replicas));
        }
    }
}
