//! Label selectors in kubectl's syntax: `app=web,tier!=db,env in (a,b),!canary`.

use std::str::FromStr;

use crate::resources::Labels;

/// The most bytes of a selector. Its text is kept for as long as a watch is open.
const MAX_BYTES: usize = 4096;

/// The most requirements. Each is a search in the labels of every target that a call examines.
const MAX_REQUIREMENTS: usize = 32;

/// The most values of one requirement.
const MAX_VALUES: usize = 128;

/// The longest key, in bytes: a prefix (253), a slash and a name (63).
const MAX_KEY: usize = 317;

/// The longest value, in bytes.
const MAX_VALUE: usize = 63;

/// A label selector; the empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    Exists(String),
    Absent(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

impl Selector {
    /// Whether labels match. Only the empty selector matches a target that does not exist, which has no labels, and one
    /// with too many of them, whose labels are unknown.
    pub(super) fn matches(&self, labels: Option<&Labels>) -> bool {
        let labels = labels.filter(|labels| labels.is_known());
        self.0.iter().all(|requirement| labels.is_some_and(|labels| requirement.matches(labels)))
    }
}

impl Requirement {
    fn matches(&self, labels: &Labels) -> bool {
        match self {
            Self::Exists(key) => labels.get(key).is_some(),
            Self::Absent(key) => labels.get(key).is_none(),
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.iter().any(|one| one == value)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.iter().any(|one| one == value)),
        }
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("is {} bytes long: the most is {MAX_BYTES}", text.len()));
        }
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        if split(text).nth(MAX_REQUIREMENTS).is_some() {
            return Err(format!("has more than {MAX_REQUIREMENTS} requirements"));
        }
        split(text).map(|part| part.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((left, values)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
            if values.split(',').nth(MAX_VALUES).is_some() {
                return Err(format!("has a requirement with more than {MAX_VALUES} values"));
            }
            let values = values.split(',').map(|value| label_value(value.trim())).collect::<Result<_, _>>()?;
            return match left.split_whitespace().collect::<Vec<_>>()[..] {
                [key, "in"] => Ok(Self::In(label_key(key)?, values)),
                [key, "notin"] => Ok(Self::NotIn(label_key(key)?, values)),
                _ => Err(format!("{text:?} is neither \"key in (a,b)\" nor \"key notin (a,b)\"")),
            };
        }
        if let Some((key, value)) = text.split_once("!=") {
            Ok(Self::NotIn(label_key(key)?, vec![label_value(value.trim())?]))
        } else if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
            Ok(Self::In(label_key(key)?, vec![label_value(value.trim())?]))
        } else if let Some(key) = text.strip_prefix('!') {
            Ok(Self::Absent(label_key(key)?))
        } else {
            Ok(Self::Exists(label_key(text)?))
        }
    }
}

/// Splits at the commas outside parentheses.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0usize;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
}

fn label_key(key: &str) -> Result<String, String> {
    let key = key.trim();
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if key.is_empty() || !key.chars().all(valid) {
        return Err(format!("{key:?} is not a label key"));
    }
    if key.len() > MAX_KEY {
        return Err(format!("has a key of {} bytes: the most is {MAX_KEY}", key.len()));
    }
    Ok(key.to_owned())
}

fn label_value(value: &str) -> Result<String, String> {
    if !value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        return Err(format!("{value:?} is not a label value"));
    }
    if value.len() > MAX_VALUE {
        return Err(format!("has a value of {} bytes: the most is {MAX_VALUE}", value.len()));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_match_as_kubectl_does() {
        let labels = [("app", "web"), ("example.com/tier", "front")].map(|(key, value)| (key.into(), value.into()));
        let labels = Labels::from(&labels.into());
        for (selector, matches) in [
            ("", true),
            ("app", true),
            ("!app", false),
            ("!canary", true),
            ("app=web", true),
            ("app==web", true),
            ("app = web , example.com/tier=front", true),
            ("app=web,canary", false),
            ("app!=web", false),
            ("canary!=true", true),
            ("app in (api, web)", true),
            ("app in (api),app", false),
            ("app notin (api,db)", true),
            ("app notin (web)", false),
            ("canary notin (x)", true),
            ("app=", false),
        ] {
            assert_eq!(selector.parse::<Selector>().unwrap().matches(Some(&labels)), matches, "{selector:?}");
        }
        assert!(Selector::default().matches(None));
        assert!(!"!canary".parse::<Selector>().unwrap().matches(None));
    }

    #[test]
    fn a_text_that_is_not_a_selector_is_refused() {
        for text in ["=web", "app=a b", "app in web", "app in (a", "app of (a)", ",", "app,,tier", "a&b", "app>1"] {
            assert!(text.parse::<Selector>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_parts_of_a_selector_are_bounded() {
        let values = |count: usize| format!("app in ({})", vec!["a"; count].join(","));
        for (name, text, refusal) in [
            ("the most requirements", vec!["a"; 32].join(","), ""),
            ("more requirements", vec!["a"; 33].join(","), "has more than 32 requirements"),
            ("1,300 requirements", vec!["!a"; 1_300].join(","), "has more than 32 requirements"),
            ("the most values", values(128), ""),
            ("more values", values(129), "has a requirement with more than 128 values"),
            ("the longest value", format!("a={}", "x".repeat(63)), ""),
            ("a longer value", format!("a={}", "x".repeat(64)), "has a value of 64 bytes: the most is 63"),
            ("the longest key", "x".repeat(317), ""),
            ("a longer key", "x".repeat(318), "has a key of 318 bytes: the most is 317"),
            ("more bytes", " ".repeat(4097), "is 4097 bytes long: the most is 4096"),
        ] {
            let message = text.parse::<Selector>().err().unwrap_or_default();
            assert_eq!(message, refusal, "{name}");
        }
    }

    #[test]
    fn only_the_empty_selector_matches_labels_that_are_not_kept() {
        let labels = (0..100).map(|number| (format!("{number}"), "v".repeat(63))).collect();
        let unknown = Labels::from(&labels);
        for (selector, matches) in [("", true), ("0", false), ("!canary", false), ("app!=web", false)] {
            assert_eq!(selector.parse::<Selector>().unwrap().matches(Some(&unknown)), matches, "{selector:?}");
        }
    }
}
