//! Mistakes in YAML texts that hold secrets.

use std::fmt;

use serde_yaml::Error as YamlError;

/// A mistake and its place, without any of the text.
///
/// The parser's own message must not reach the screen. It quotes the lines around the mistake and the value of the
/// wrong type, and that value is the token if a credential program prints a bare one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Mistake {
    /// Line and column.
    place: Option<(u64, u64)>,
    message: String,
}

impl From<&YamlError> for Mistake {
    fn from(error: &YamlError) -> Self {
        let message = match error.without_snippet() {
            YamlError::SerdeMissingField { field, .. } => format!("the field {field} is missing"),
            YamlError::SerdeUnknownField { field, .. } => format!("the field {field} is unknown"),
            YamlError::DuplicateMappingKey { .. } => "a field is given twice".to_owned(),
            YamlError::SerdeInvalidType { expected, .. } | YamlError::SerdeInvalidValue { expected, .. } => {
                format!("expected {expected}")
            }
            _ => "this cannot be read".to_owned(),
        };
        Self { place: error.location().map(|location| (location.line(), location.column())), message }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}
