//! Colours of text that has no control characters of others any more.

use console::{Style, measure_text_width};

/// The column of a table whose cells have colours.
const STATUS: &str = "STATUS";

fn paint(style: Style, text: &str) -> String {
    style.force_styling(true).apply_to(text).to_string()
}

/// Paints the words with which lines of a message begin.
pub(super) fn note(text: &str) -> String {
    let first_words = [
        ("error:", Style::new().red().bold()),
        ("warning:", Style::new().yellow().bold()),
        ("hint:", Style::new().cyan().bold()),
    ];
    let paint_line = |line: &str| {
        let found = first_words.iter().find_map(|(word, style)| Some((word, style, line.strip_prefix(word)?)));
        found.map_or_else(|| line.to_owned(), |(word, style, rest)| paint(style.clone(), word) + rest)
    };
    text.split('\n').map(paint_line).collect::<Vec<_>>().join("\n")
}

/// Paints the marks with which lines begin, and the words of hints below them.
pub(super) fn marks(text: &str) -> String {
    let marks = [
        ("✓ ", Style::new().green()),
        ("ok ", Style::new().green()),
        ("✗ ", Style::new().red().bold()),
        ("x ", Style::new().red().bold()),
        ("! ", Style::new().yellow().bold()),
        ("    hint:", Style::new().cyan().bold()),
    ];
    let paint_line = |line: &str| {
        let found = marks.iter().find_map(|(mark, style)| Some((mark, style, line.strip_prefix(mark)?)));
        found.map_or_else(|| line.to_owned(), |(mark, style, rest)| paint(style.clone(), mark) + rest)
    };
    text.split('\n').map(paint_line).collect::<Vec<_>>().join("\n")
}

/// Paints the header and the statuses of a table.
pub(super) fn table(text: &str) -> String {
    let header = text.lines().next().unwrap_or_default();
    let status = header.find(STATUS).map(|start| {
        let after = &header[start + STATUS.len()..];
        let gap = after.len() - after.trim_start().len();
        // The last column has no end.
        (start, if after.trim().is_empty() { usize::MAX } else { start + STATUS.len() + gap })
    });
    let paint_line = |(index, line): (usize, &str)| match (index, status) {
        (0, _) => paint(Style::new().bold(), line) + "\n",
        (_, Some((start, end))) => paint_status(line, start, end) + "\n",
        (_, None) => line.to_owned() + "\n",
    };
    text.lines().enumerate().map(paint_line).collect()
}

/// Paints what a line has between two columns of the terminal.
fn paint_status(line: &str, start: usize, end: usize) -> String {
    let (before, rest) = split(line, start);
    let (cell, after) = split(rest, end.saturating_sub(start));
    let word = cell.trim_end();
    let style = match word {
        "" | "-" => return line.to_owned(),
        "Ready" => Style::new().green(),
        _ => Style::new().yellow(),
    };
    format!("{before}{}{}{after}", paint(style, word), &cell[word.len()..])
}

/// Splits a text at a width, in columns of the terminal.
fn split(text: &str, width: usize) -> (&str, &str) {
    let mut taken = 0;
    for (index, c) in text.char_indices() {
        if taken >= width {
            return text.split_at(index);
        }
        taken += measure_text_width(c.encode_utf8(&mut [0; 4]));
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_of_lines_are_painted() {
        let text = "error: no error: here\n  caused by: x\n    hint: of others\nhint: y";
        let painted = "\u{1b}[31m\u{1b}[1merror:\u{1b}[0m no error: here\n  caused by: x\n    hint: of others\n\u{1b}[36m\u{1b}[1mhint:\u{1b}[0m y";
        assert_eq!(note(text), painted);
    }

    #[test]
    fn the_marks_of_lines_are_painted() {
        let painted = "\u{1b}[32m✓ \u{1b}[0ma ✗ b\n\u{1b}[31m\u{1b}[1mx \u{1b}[0mc\n- d";
        assert_eq!(marks("✓ a ✗ b\nx c\n- d"), painted);
    }

    #[test]
    fn statuses_are_painted_and_nothing_else_changes() {
        let text = "\
TARGET   STATUS      OVERRIDE
größe    Ready       Ready
日本     Contested   -
x        -           -
";
        let painted = "\
\u{1b}[1mTARGET   STATUS      OVERRIDE\u{1b}[0m
größe    \u{1b}[32mReady\u{1b}[0m       Ready
日本     \u{1b}[33mContested\u{1b}[0m   -
x        -           -
";
        assert_eq!(table(text), painted);
        assert_eq!(console::strip_ansi_codes(&table(text)), text);
        let last = "A   STATUS\nb   Ready\n";
        assert_eq!(table(last), "\u{1b}[1mA   STATUS\u{1b}[0m\nb   \u{1b}[32mReady\u{1b}[0m\n");
        assert_eq!(table("A   B\n"), "\u{1b}[1mA   B\u{1b}[0m\n");
    }
}
