//! Texts of others, of which the server keeps the beginning.

/// The beginning of a text, of at most so many bytes.
///
/// Anybody who may write an object can store a megabyte in one text, and each state and history would hold it.
pub(crate) fn beginning(text: &str, most: usize) -> &str {
    text.split_at(text.floor_char_boundary(most)).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        for (name, text, expected) in [
            ("empty", "", ""),
            ("shorter", "ab", "ab"),
            ("as long", "abcd", "abcd"),
            ("longer", "abcdef", "abcd"),
            ("within a character", "abcé", "abc"),
        ] {
            assert_eq!(beginning(text, 4), expected, "{name}");
        }
    }
}
