//! `make recording` draws the transcripts of the documentation as animated pictures.
//!
//! A transcript has lines of four kinds: `$ ` starts a command, `# ` a remark, `#~ ` a command that only prepares, and all
//! others are output. The test `recordings` runs the commands of each and compares the output.

mod timeline;

use std::{env, fmt::Write, fs, path::Path};

use anyhow::{Context, Result};
use timeline::{Block, Timeline};

/// The width of a character, in hundredths of a pixel, and the height of a line, in pixels, of the font size below.
const CHARACTER: usize = 783;
const LINE: usize = 18;
const FONT_SIZE: usize = 13;

/// The space around the text, in pixels.
const MARGIN: usize = 16;

/// The number of lines of the window.
const ROWS: usize = 28;

fn main() -> Result<()> {
    for transcript in env::args_os().skip(1) {
        let path = Path::new(&transcript);
        let text = fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
        fs::write(path.with_extension("svg"), draw(&text))?;
    }
    Ok(())
}

/// Draws a transcript.
fn draw(transcript: &str) -> String {
    let blocks = timeline::parse(transcript);
    let timeline = Timeline::of(&blocks, ROWS);
    let columns = blocks.iter().flat_map(|block| &block.lines).map(|line| line.chars().count()).max().unwrap_or(80);
    let width = (columns * CHARACTER).div_ceil(100) + 2 * MARGIN;
    let height = ROWS * LINE + 2 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xml:space=\"preserve\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" \
         font-size=\"{FONT_SIZE}\">\n<style>\ntext {{ white-space: pre; fill: #c9d1d9 }}\n.prompt {{ fill: #7ee787 }}\n\
         .command {{ fill: #ffffff; font-weight: bold }}\n.remark {{ fill: #8b949e }}\n{}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#0d1117\"/>\n\
         <svg x=\"{MARGIN}\" y=\"{MARGIN}\" width=\"{}\" height=\"{}\">\n<g class=\"scroll\">\n",
        timeline.style(LINE),
        width - 2 * MARGIN,
        ROWS * LINE,
    );
    let mut row = 0;
    for (number, block) in blocks.iter().enumerate() {
        draw_block(&mut svg, block, number, &mut row);
    }
    svg + "</g>\n</svg>\n</svg>\n"
}

fn draw_block(svg: &mut String, block: &Block<'_>, number: usize, row: &mut usize) {
    let _ = writeln!(svg, "<g class=\"b{number}\">");
    for line in &block.lines {
        *row += 1;
        // The baseline is above the bottom of the line.
        let y = *row * LINE - 4;
        let _ = match line.strip_prefix("$ ") {
            Some(command) => writeln!(
                svg,
                "<text y=\"{y}\"><tspan class=\"prompt\">$ </tspan><tspan class=\"command\">{}</tspan></text>",
                escape(command)
            ),
            None if line.starts_with("# ") => writeln!(svg, "<text y=\"{y}\" class=\"remark\">{}</text>", escape(line)),
            None if line.is_empty() => Ok(()),
            None => writeln!(svg, "<text y=\"{y}\">{}</text>", escape(line)),
        };
    }
    svg.push_str("</g>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/recordings");

    #[test]
    fn the_pictures_are_those_of_the_transcripts() {
        let mut count = 0;
        for entry in fs::read_dir(FOLDER).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "txt") {
                let picture = fs::read_to_string(path.with_extension("svg")).unwrap();
                let is_same = picture == draw(&fs::read_to_string(&path).unwrap());
                assert!(is_same, "{} has changed: run `make recording`", path.display());
                count += 1;
            }
        }
        assert!(count > 0, "no transcript in {FOLDER}");
    }

    #[test]
    fn text_cannot_end_its_element() {
        let svg = draw("$ echo '</text>&'\n</svg>\n");
        assert!(svg.contains("echo '&lt;/text&gt;&amp;'") && svg.contains(">&lt;/svg&gt;<"), "{svg}");
    }
}
