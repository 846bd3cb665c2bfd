//! Patterns of names of contexts, such as `prod-*,stage`.

use std::str::FromStr;

/// The most names that an error lists: more do not fit on a screen.
const MAX_NAMED: usize = 20;

/// Patterns, one of which a context must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContextPatterns(Vec<String>);

/// Why contexts cannot be chosen.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("no context of the kubeconfig matches {pattern:?}")]
    NoMatch { pattern: String, known: Vec<String> },
    #[error("--contexts cannot be used with {flag}")]
    With { flag: &'static str },
}

impl Error {
    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NoMatch { known, .. } if known.is_empty() => Some("the kubeconfig has no contexts".to_owned()),
            Self::NoMatch { known, .. } => {
                let named = known.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
                let more = known.len().saturating_sub(MAX_NAMED);
                let more = if more == 0 { String::new() } else { format!(" and {more} more") };
                Some(format!("* stands for any text and ? for one character; the contexts are {named}{more}"))
            }
            Self::With { flag } => Some(format!("leave out {flag}")),
        }
    }
}

impl FromStr for ContextPatterns {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let patterns = text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty());
        let patterns: Vec<_> = patterns.map(str::to_owned).collect();
        if patterns.is_empty() {
            Err("give the name of a context, or a pattern such as prod-*")
        } else {
            Ok(Self(patterns))
        }
    }
}

impl ContextPatterns {
    /// Chooses the names that match, in alphabetical order. A pattern that matches none is probably misspelt.
    pub(crate) fn choose(&self, mut known: Vec<String>) -> Result<Vec<String>, Error> {
        known.sort();
        let is_unused = |pattern: &&String| !known.iter().any(|name| matches(pattern, name));
        if let Some(pattern) = self.0.iter().find(is_unused) {
            return Err(Error::NoMatch { pattern: pattern.clone(), known });
        }
        known.retain(|name| self.0.iter().any(|pattern| matches(pattern, name)));
        Ok(known)
    }
}

/// Whether a name matches a pattern: `*` stands for any text, `?` for one character.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<_>, Vec<_>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut read) = (0, 0);
    // The last star, and how much of the name it stands for so far ends.
    let mut star: Option<(usize, usize)> = None;
    while read < name.len() {
        match (pattern.get(at), star) {
            (Some('*'), _) => {
                star = Some((at, read));
                at += 1;
            }
            (Some(c), _) if *c == '?' || *c == name[read] => (at, read) = (at + 1, read + 1),
            (_, Some((place, end))) => {
                star = Some((place, end + 1));
                (at, read) = (place + 1, end + 1);
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_and_a_question_mark_for_a_character() {
        for (pattern, name, expected) in [
            ("prod", "prod", true),
            ("prod", "prod-1", false),
            ("prod", "pro", false),
            ("prod-*", "prod-1", true),
            ("prod-*", "prod-", true),
            ("prod-*", "prod", false),
            ("*", "", true),
            ("*", "arn:aws:eks:eu-west-1:1:cluster/prod", true),
            ("*/prod", "arn:aws:eks:eu-west-1:1:cluster/prod", true),
            ("*prod*", "my-prod-1", true),
            ("*ab", "aab", true),
            ("*a*b", "abab", true),
            ("*a*b", "aba", false),
            ("prod-?", "prod-1", true),
            ("prod-?", "prod-é", true),
            ("prod-?", "prod-10", false),
            ("?", "", false),
            ("Prod", "prod", false),
            ("p.od", "prod", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        // A pattern of many stars takes no exponential time.
        assert!(!matches(&"*a".repeat(100), &"a".repeat(10_000).replace('a', "b")));
    }

    #[test]
    fn each_pattern_chooses_at_least_one_context() {
        let known = || ["stage", "prod-2", "prod-1"].map(str::to_owned).to_vec();
        let choose = |text: &str| text.parse::<ContextPatterns>().unwrap().choose(known());
        for (text, expected) in [
            ("*", vec!["prod-1", "prod-2", "stage"]),
            ("prod-*", vec!["prod-1", "prod-2"]),
            ("stage, prod-1", vec!["prod-1", "stage"]),
            ("stage,s*", vec!["stage"]),
        ] {
            assert_eq!(choose(text).unwrap(), expected, "{text}");
        }
        assert!(" ,".parse::<ContextPatterns>().is_err());
        let error = choose("prod-*,test-*").unwrap_err();
        assert_eq!(error.to_string(), "no context of the kubeconfig matches \"test-*\"");
        assert!(error.hint().unwrap().ends_with("the contexts are prod-1, prod-2, stage"), "{error:?}");
        let many = (0..30).map(|number| format!("c-{number:02}")).collect();
        let error = "x".parse::<ContextPatterns>().unwrap().choose(many).unwrap_err();
        assert!(error.hint().unwrap().ends_with("c-18, c-19 and 10 more"), "{error:?}");
    }
}
