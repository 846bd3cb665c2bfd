//! A word that may stand at the cursor.

/// A word that may stand at the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) value: String,
    /// What it means, or nothing.
    pub(super) description: String,
}

impl Candidate {
    pub(super) fn new(value: impl Into<String>, description: impl Into<String>) -> Self {
        Self { value: value.into(), description: description.into() }
    }
}
