//! Text that others have written, such as names, messages and reasons, made safe for a terminal.
//!
//! Everything that is printed for people passes through here. JSON and YAML keep their content exactly, by escapes.

/// Whether a character could control a terminal, fake a line, or show text in another order than it is written.
///
/// These are the control characters, the line and paragraph separators, and Unicode's bidirectional controls (UAX 9,
/// section 2). Text in right-to-left scripts does not need the latter.
pub(crate) fn is_unsafe(c: char) -> bool {
    let is_separator = matches!(c, '\u{2028}' | '\u{2029}');
    let is_bidi_control =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || is_separator || is_bidi_control
}

/// Replaces unsafe characters by spaces, line breaks included.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if is_unsafe(c) { ' ' } else { c }).collect()
}

/// Replaces unsafe characters by spaces, but keeps line breaks.
pub(crate) fn lines(text: &str) -> String {
    text.chars().map(|c| if is_unsafe(c) && c != '\n' { ' ' } else { c }).collect()
}

/// Replaces unsafe characters by spaces, and indents all lines but the first, so that none of them looks like a line of
/// this program.
pub(crate) fn indented(text: &str) -> String {
    lines(text).replace('\n', "\n    ")
}

/// Escapes the unsafe characters of a JSON document that is written without escapes beyond those that JSON requires.
/// They occur only in its strings, except for line breaks.
pub(crate) fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unsafe(c) && c != '\n' {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escaped.push_str(&format!("\\u{unit:04x}")));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_cannot_control_the_terminal() {
        struct Row {
            name: &'static str,
            text: &'static str,
            one_line: &'static str,
            indented: &'static str,
        }
        for Row { name, text, one_line: line, indented: block } in [
            Row { name: "plain", text: "web", one_line: "web", indented: "web" },
            Row { name: "colour", text: "a\u{1b}[31mb", one_line: "a [31mb", indented: "a [31mb" },
            Row { name: "8-bit escape", text: "a\u{9b}31mb", one_line: "a 31mb", indented: "a 31mb" },
            Row { name: "delete", text: "a\u{7f}b", one_line: "a b", indented: "a b" },
            Row { name: "line", text: "a\nhint: b", one_line: "a hint: b", indented: "a\n    hint: b" },
            Row { name: "carriage return", text: "a\rb", one_line: "a b", indented: "a b" },
            Row { name: "line separator", text: "a\u{2028}b", one_line: "a b", indented: "a b" },
            Row { name: "right to left", text: "a\u{202e}b\u{2066}", one_line: "a b ", indented: "a b " },
            Row {
                name: "Persian",
                text: "\u{645}\u{6cc}\u{200c}\u{62e}",
                one_line: "\u{645}\u{6cc}\u{200c}\u{62e}",
                indented: "\u{645}\u{6cc}\u{200c}\u{62e}",
            },
        ] {
            assert_eq!((one_line(text).as_str(), indented(text).as_str()), (line, block), "{name}");
        }
    }

    #[test]
    fn escaped_json_means_the_same() {
        let text = "a\u{9b}31m\u{202e}\n\u{7f}\u{1b}\"\\z";
        let json = escape_json(&serde_json::to_string(text).unwrap());
        assert!(!json.chars().any(is_unsafe), "{json:?}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
