//! The origin of a certificate or key.

use std::{fmt, path::PathBuf};

/// A certificate or key, or the file that holds it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Material {
    File(PathBuf),
    Inline(Vec<u8>),
    /// Content that was read already. `from` describes its origin.
    Imported {
        from: String,
        content: Vec<u8>,
    },
}

/// Shows the origin only, since the content may be a key.
impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Inline(_) => f.write_str("(inline)"),
            Self::Imported { from, .. } => f.write_str(from),
        }
    }
}
