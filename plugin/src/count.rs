//! Counts of replicas, as the user writes them: `3`, `=3`, `+3`, `x2`, `50%`.

/// The count that `set` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// This count: `3` or `=3`.
    Exactly(i32),
    /// The count that is read, and this many more: `+3`.
    More(i32),
    /// So many times the count that is read: `x2`.
    Times(i32),
    /// So many hundredths of the count that is read: `50%`.
    Percent(i32),
    /// The count that the target has now.
    Current,
}

/// Why a word is not a count.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not a count of replicas")]
pub(crate) struct Error {
    word: String,
}

impl Error {
    /// What the user can do.
    pub(crate) fn hint(&self) -> String {
        match self.word.strip_prefix('-').and_then(digits) {
            Some(_) => {
                "a word that starts with '-' is a flag; to lower a count, give the new one: =2 is 2 replicas, and \
                        50% is half of them"
                    .to_owned()
            }
            None => "give a whole number such as 3, or +3, x2 or 50% of the count that is there".to_owned(),
        }
    }
}

/// Reads a count. An equals sign before it changes nothing.
pub(crate) fn parse(word: &str) -> Result<Count, Error> {
    let text = word.strip_prefix('=').unwrap_or(word);
    let count = if let Some(more) = text.strip_prefix('+') {
        digits(more).map(Count::More)
    } else if let Some(times) = text.strip_prefix('x') {
        digits(times).map(Count::Times)
    } else if let Some(percent) = text.strip_suffix('%') {
        digits(percent).map(Count::Percent)
    } else {
        digits(text).map(Count::Exactly)
    };
    count.ok_or_else(|| Error { word: word.to_owned() })
}

/// Reads a count that does not depend on another one.
pub(crate) fn parse_exact(word: &str) -> Result<i32, Error> {
    digits(word).ok_or_else(|| Error { word: word.to_owned() })
}

/// Reads a number without a sign. `i32::from_str` accepts signs.
fn digits(text: &str) -> Option<i32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl Count {
    /// Whether it depends on the count that is there.
    pub(crate) fn is_relative(self) -> bool {
        matches!(self, Self::More(_) | Self::Times(_) | Self::Percent(_))
    }

    /// The count that it means beside the one that was read, rounded up; None means the target's current count.
    ///
    /// A relative count is at least 1: only a plain 0 stops the last replica.
    pub(crate) fn beside(self, read: i32) -> Option<i32> {
        let read = i64::from(read);
        let count = match self {
            Self::Exactly(count) => return Some(count),
            Self::Current => return None,
            Self::More(more) => read + i64::from(more),
            Self::Times(times) => read * i64::from(times),
            Self::Percent(percent) => (read * i64::from(percent) + 99) / 100,
        };
        Some(i32::try_from(count.max(1)).unwrap_or(i32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_plain_or_relative_to_the_one_that_was_read() {
        struct Row {
            word: &'static str,
            read: i32,
            count: i32,
        }
        let row = |word, read, count| Row { word, read, count };
        for Row { word, read, count } in [
            row("3", 7, 3),
            row("0", 7, 0),
            row("=2", 7, 2),
            row("=0", 7, 0),
            row("+3", 7, 10),
            row("=+3", 7, 10),
            row("+0", 7, 7),
            row("+0", 0, 1),
            row("+3", -5, 1),
            row("x2", 7, 14),
            row("x2", 0, 1),
            row("50%", 8, 4),
            row("50%", 7, 4),
            row("1%", 7, 1),
            row("0%", 7, 1),
            row("150%", 3, 5),
            row("x2147483647", i32::MAX, i32::MAX),
            row("+2147483647", i32::MAX, i32::MAX),
            row("2147483647%", i32::MAX, i32::MAX),
        ] {
            assert_eq!(parse(word).unwrap().beside(read), Some(count), "{word} at {read}");
        }
        assert_eq!(Count::Current.beside(7), None);
    }

    #[test]
    fn anything_else_is_no_count() {
        for word in [
            "",
            "=",
            "==2",
            "+",
            "x",
            "%",
            "-2",
            "=-2",
            "+-2",
            "x-2",
            "-50%",
            "1.5",
            "x1.5",
            "three",
            "X2",
            "3x",
            "99999999999",
            "+99999999999",
            " 3",
            "٣",
        ] {
            assert_eq!(parse(word).unwrap_err().to_string(), format!("{word:?} is not a count of replicas"));
        }
        for word in ["+3", "=3", "x2", "50%", "-1", ""] {
            assert!(parse_exact(word).is_err(), "{word}");
        }
        assert!(parse("-2").unwrap_err().hint().contains("=2"));
    }
}
