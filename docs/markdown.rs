//! Text of others as Markdown.

/// Keeps placeholders such as `<NAME>` from being read as HTML, and stars as emphasis. Code stays as it is.
pub fn escape(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let escaped = parts.map(|(index, part)| match index % 2 {
        0 => part.replace('<', "\\<").replace('*', "\\*"),
        _ => part.to_owned(),
    });
    escaped.collect::<Vec<_>>().join("`")
}

/// Writes a text of several lines into a cell of a table.
pub fn cell(text: &str) -> String {
    escape(&text.split_whitespace().collect::<Vec<_>>().join(" ")).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_prose_is_escaped() {
        for (name, text, expected) in [
            ("a placeholder", "give <NAME>", "give \\<NAME>"),
            ("code", "its name is `<kind>.<name>`, with *", "its name is `<kind>.<name>`, with \\*"),
            ("lines", "one\n\n  two | three", "one two \\| three"),
        ] {
            assert_eq!(cell(text), expected, "{name}");
        }
    }
}
