//! The elements of an SVG. All text passes through [`escape`].

use console::truncate_str;

use crate::terminal;

/// The longest tooltip, in columns: a tooltip that is longer covers the picture.
const MAX_TOOLTIP: usize = 300;

/// A point of the picture, from its upper left corner.
pub(super) type Point = (f64, f64);

/// The elements of an SVG, in the order in which they are drawn.
#[derive(Debug, Default)]
pub(super) struct Elements(String);

/// Where a text is in relation to its point.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Elements {
    /// Adds a text in one line.
    pub(super) fn text(&mut self, (x, y): Point, anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        self.0 += &format!("<text x=\"{x:.1}\" y=\"{y:.1}\"{anchor} class=\"{class}\">{}</text>\n", escape(text));
    }

    /// Adds a line from point to point.
    pub(super) fn line(&mut self, points: impl IntoIterator<Item = Point>, class: &str) {
        let points: Vec<_> = points.into_iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.0 += &format!("<polyline points=\"{}\" class=\"{class}\"/>\n", points.join(" "));
    }

    /// Adds a rectangle between two corners.
    pub(super) fn rectangle(&mut self, (left, top): Point, (right, bottom): Point, class: &str, tooltip: &str) {
        let (width, height) = ((right - left).max(0.0), (bottom - top).max(0.0));
        self.0 += &format!(
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" class=\"{class}\">{}</rect>\n",
            title(tooltip)
        );
    }

    /// Adds a dot.
    pub(super) fn dot(&mut self, (x, y): Point, class: &str, tooltip: &str) {
        self.0 +=
            &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" class=\"{class}\">{}</circle>\n", title(tooltip));
    }

    /// Adds other elements on top.
    pub(super) fn add(&mut self, others: Self) {
        self.0 += &others.0;
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// What a viewer shows when the pointer is on an element.
fn title(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("<title>{}</title>", escape(&shorten(text, MAX_TOOLTIP))) }
}

/// Makes text of others safe in XML. Characters that XML 1.0 forbids become spaces, as those that show text in another
/// order than it is written.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in terminal::one_line(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Shortens a text to a number of columns.
pub(super) fn shorten(text: &str, columns: usize) -> String {
    truncate_str(&terminal::one_line(text), columns, "…").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_cannot_leave_its_element() {
        for (name, text, expected) in [
            ("plain", "helm 3->7", "helm 3-&gt;7"),
            ("an element", "</text><script>", "&lt;/text&gt;&lt;script&gt;"),
            ("an attribute", "\" onload='x'", "&quot; onload=&#39;x&#39;"),
            ("an entity", "&lt;", "&amp;lt;"),
            ("a control character", "a\u{0}b\u{1b}[2Jc\nd", "a b [2Jc d"),
            ("no character of XML", "a\u{fffe}\u{ffff}b", "a  b"),
            ("another order", "a\u{202e}b", "a b"),
            ("other scripts", "größe 日本", "größe 日本"),
        ] {
            assert_eq!(escape(text), expected, "{name}");
            let mut elements = Elements::default();
            elements.text((0.0, 1.0), Anchor::Middle, "mark", text);
            elements.dot((0.0, 1.0), "mark", text);
            let svg = elements.into_text();
            assert_eq!(svg.matches('<').count(), 6, "{name}: {svg}");
        }
    }

    #[test]
    fn a_long_text_is_shortened_by_its_width() {
        assert_eq!(shorten("abcdef", 4), "abc…");
        assert_eq!(shorten("日本日本", 5), "日本…");
        assert_eq!(shorten("a\nb", 5), "a b");
    }
}
