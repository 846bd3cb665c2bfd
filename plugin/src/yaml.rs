//! What is wrong with a YAML text that holds secrets, without showing any of it.

use std::fmt;

use serde_yaml::Error as YamlError;

/// A mistake, and where it is.
///
/// The parser's own words are not for the screen: they quote the lines around a mistake, and the value that is of the
/// wrong type, which is the token if a program prints it bare.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Mistake {
    place: Option<(u64, u64)>,
    what: String,
}

impl From<&YamlError> for Mistake {
    fn from(error: &YamlError) -> Self {
        let what = match error.without_snippet() {
            YamlError::SerdeMissingField { field, .. } => format!("the field {field} is missing"),
            YamlError::SerdeInvalidType { expected, .. } | YamlError::SerdeInvalidValue { expected, .. } => {
                format!("expected {expected}")
            }
            _ => "this cannot be read".to_owned(),
        };
        Self { place: error.location().map(|location| (location.line(), location.column())), what }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}
