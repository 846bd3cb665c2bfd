//! Tests that the messages in docs/troubleshooting.md are those of the programs.

use std::{fs, path::Path};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Adds the text of all files below a folder, with string literals in one line.
fn add_sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => add_sources(&path, text),
            false => {
                let source = fs::read_to_string(&path).unwrap();
                text.extend(source.split("\\\n").map(str::trim_start));
            }
        }
    }
}

/// The messages that the page quotes in the first cells of its tables. Those below the heading `Helm` are Helm's.
fn messages(page: &str) -> Vec<&str> {
    let ours = page.split("\n## Helm\n").next().unwrap();
    let cells = ours.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

/// The parts of a message that are the same each time. `…` stands for the others, and a cause follows a colon.
fn parts(message: &str) -> impl Iterator<Item = &str> {
    let parts = message.split('…').flat_map(|part| part.split(": ")).map(|part| part.trim_matches([' ', ':']));
    parts.filter(|part| part.len() > 5)
}

#[test]
fn each_message_of_the_page_is_in_the_sources() {
    let mut sources = String::new();
    for folder in ["plugin/src", "server/src", "charts/replica-count-manager/files"] {
        add_sources(&Path::new(ROOT).join(folder), &mut sources);
    }
    let sources = sources.replace("\\\"", "\"");
    let page = fs::read_to_string(format!("{ROOT}/docs/troubleshooting.md")).unwrap();
    let messages = messages(&page);
    assert!(messages.len() > 40, "{messages:?}");
    let unknown: Vec<_> = messages.into_iter().flat_map(parts).filter(|part| !sources.contains(part)).collect();
    assert!(unknown.is_empty(), "no program says {unknown:#?}");
}
