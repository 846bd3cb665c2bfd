//! When each part of a recording appears.

use std::fmt::Write;

/// How long a viewer gets to read a command, and each line of output, in seconds. People read about two lines of a table
/// in a second.
const READ_COMMAND: f64 = 1.5;
const READ_LINE: f64 = 0.5;

/// The longest time for one output, in seconds. Readers skim a long table.
const READ_MOST: f64 = 6.0;

/// How long the end stays before the recording starts again, in seconds.
const LAST: f64 = 6.0;

/// Lines that appear together: a command with the remark before it, or its output.
#[derive(Debug, PartialEq)]
pub(crate) struct Block<'a> {
    pub(crate) lines: Vec<&'a str>,
    is_command: bool,
}

/// Splits a transcript into blocks. Preparations are left out.
pub(crate) fn parse(transcript: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for line in transcript.lines().filter(|line| !line.starts_with("#~ ")) {
        let is_command = line.starts_with("$ ") || line.starts_with("# ");
        match blocks.last_mut() {
            Some(block) if block.is_command == is_command => block.lines.push(line),
            _ => blocks.push(Block { lines: vec![line], is_command }),
        }
    }
    blocks
}

/// The appearance of each block: the time in seconds, and by how many lines the text has then moved up.
pub(crate) struct Timeline {
    appearances: Vec<(f64, usize)>,
    /// The length of the recording, in seconds.
    length: f64,
}

impl Timeline {
    pub(crate) fn of(blocks: &[Block<'_>], rows: usize) -> Self {
        let (mut time, mut row) = (0.0, 0);
        let mut appearances = Vec::with_capacity(blocks.len());
        for block in blocks {
            row += block.lines.len();
            appearances.push((time, row.saturating_sub(rows)));
            time += match block.is_command {
                true => READ_COMMAND,
                false => block.lines.iter().fold(0.0, |sum, _| sum + READ_LINE).min(READ_MOST),
            };
        }
        Self { appearances, length: time + LAST }
    }

    /// The animation as CSS. Viewers without animation, and people who do not want any, see the beginning.
    pub(crate) fn style(&self, line_height: usize) -> String {
        let Self { appearances, length } = self;
        let mut style = "@media (prefers-reduced-motion: no-preference) {\n".to_owned();
        let mut moves = String::new();
        for (number, (time, lines)) in appearances.iter().enumerate() {
            let percent = 100.0 * time / length;
            if number > 0 {
                let _ = writeln!(
                    style,
                    "@keyframes b{number} {{ from {{ opacity: 0 }} {percent:.2}% {{ opacity: 1 }} }}\n\
                     .b{number} {{ animation: b{number} {length:.1}s step-end infinite }}"
                );
            }
            if *lines > 0 {
                let _ = write!(moves, " {percent:.2}% {{ transform: translateY(-{}px) }}", lines * line_height);
            }
        }
        if !moves.is_empty() {
            let _ = writeln!(
                style,
                "@keyframes scroll {{ from {{ transform: none }}{moves} }}\n\
                 .scroll {{ animation: scroll {length:.1}s step-end infinite }}"
            );
        }
        style + "}\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_appears_with_its_remark_and_before_its_output() {
        let blocks = parse("# look\n$ list\nweb\n\n#~ wait\n$ get\n");
        let lines: Vec<_> = blocks.iter().map(|block| block.lines.clone()).collect();
        assert_eq!(lines, [vec!["# look", "$ list"], vec!["web", ""], vec!["$ get"]]);
    }

    #[test]
    fn the_text_moves_up_when_the_window_is_full() {
        let blocks = parse("$ one\na\nb\n$ two\nc\n");
        let timeline = Timeline::of(&blocks, 3);
        assert_eq!(timeline.appearances.iter().map(|(_, lines)| *lines).collect::<Vec<_>>(), [0, 0, 1, 2]);
        assert!(timeline.appearances.is_sorted_by(|one, next| one.0 < next.0));
        assert!(timeline.style(18).contains("translateY(-36px)"));
    }
}
