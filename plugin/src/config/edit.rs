//! Changes of the configuration's text that keep the user's comments, order and spelling: only the lines of what has
//! changed are written.
//!
//! The text is taken as lines of block-style YAML, in which an entry is a key and all deeper lines after it. Every result
//! is read again before it is used, so YAML of another style is never damaged: it is written anew instead.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::entry::Entry;

/// The indentation of entries in a file that has none, in spaces.
const INDENTATION: usize = 2;

type Entries = BTreeMap<String, Entry>;

/// A key with its value: a range of lines.
struct Block {
    key: String,
    lines: Range<usize>,
}

/// Changes the text of a file from some entries to others. `read` reads a text. Returns None if the text has another
/// style.
pub(super) fn rewrite(
    text: &str,
    before: &Entries,
    after: &Entries,
    read: impl Fn(&str) -> Option<Entries>,
) -> Option<String> {
    // An entry in flow style has no lines of single fields. It is replaced as a whole.
    [false, true].into_iter().find_map(|is_whole| {
        let changed = change_all(text, before, after, is_whole)?;
        (read(&changed).as_ref() == Some(after)).then_some(changed)
    })
}

fn change_all(text: &str, before: &Entries, after: &Entries, is_whole: bool) -> Option<String> {
    let mut lines: Vec<String> = text.lines().map(|line| line.to_owned() + "\n").collect();
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for name in names.into_iter().filter(|name| before.get(*name) != after.get(*name)) {
        change(&mut lines, name, before.get(name), after.get(name), is_whole)?;
    }
    Some(lines.concat())
}

/// Changes one entry.
fn change(
    lines: &mut Vec<String>,
    name: &str,
    before: Option<&Entry>,
    after: Option<&Entry>,
    is_whole: bool,
) -> Option<()> {
    let header = find_header(lines)?;
    let end = (header + 1..lines.len()).find(|line| indentation(&lines[*line]) == 0 && has_content(&lines[*line]));
    let (indentation, entries) = blocks(lines, header + 1..end.unwrap_or(lines.len()))?;
    let existing = entries.iter().find(|entry| entry.key == name);
    match (existing, after) {
        (None, None) => {}
        (None, Some(after)) => {
            let at = entries.last().map_or(header + 1, |last| last.lines.end);
            lines.splice(at..at, entry_lines(name, after, indentation)?);
        }
        (Some(existing), None) => {
            lines.drain(existing.lines.clone());
            if entries.len() == 1 {
                lines[header] = "contexts: {}\n".to_owned();
            }
        }
        (Some(existing), Some(after)) if is_whole || !value(&lines[existing.lines.start])?.is_empty() => {
            lines.splice(existing.lines.clone(), entry_lines(name, after, indentation)?);
        }
        (Some(existing), Some(after)) => {
            let fields = existing.lines.start + 1..existing.lines.end;
            change_keys(lines, fields, &field_lines(before?)?, &field_lines(after)?)?;
        }
    }
    Some(())
}

/// Finds the line `contexts:`, or adds it to a file without any content.
fn find_header(lines: &mut Vec<String>) -> Option<usize> {
    let header = lines.iter().position(|line| line.starts_with("contexts:"));
    let Some(header) = header else {
        let is_empty = !lines.iter().any(|line| has_content(line));
        lines.push("contexts:\n".to_owned());
        return is_empty.then_some(lines.len() - 1);
    };
    match value(&lines[header])? {
        "" => {}
        "{}" => lines[header] = "contexts:\n".to_owned(),
        _ => return None,
    }
    Some(header)
}

/// Changes the lines of the keys that differ, in a range of lines. New keys come after the others.
fn change_keys(lines: &mut Vec<String>, range: Range<usize>, before: &[String], after: &[String]) -> Option<()> {
    let (indentation, blocks) = blocks(lines, range.clone())?;
    let (old, new) = (parts(before)?, parts(after)?);
    let at = blocks.last().map_or(range.end, |last| last.lines.end);
    let is_new = |key: &String| !blocks.iter().any(|block| block.key == *key);
    let added = new.iter().filter(|(key, _)| is_new(key)).flat_map(|(_, part)| indented(part, indentation));
    lines.splice(at..at, added.collect::<Vec<_>>());
    for Block { key, lines: range } in blocks.into_iter().rev() {
        match (old.get(&key), new.get(&key)) {
            (old, Some(new)) if old == Some(new) => {}
            // A value of several lines is a mapping, here and in what is written.
            (Some(old), Some(new)) if range.len() > 1 && old.len() > 1 && new.len() > 1 => {
                change_keys(lines, range.start + 1..range.end, &old[1..], &new[1..])?;
            }
            (_, Some(new)) => {
                let comment = trailing_comment(&lines[range.start]).filter(|_| range.len() == 1 && new.len() == 1);
                let comment = comment.unwrap_or_default().to_owned();
                let changed = indented(new, indentation);
                lines.splice(range, changed.into_iter().map(|line| format!("{}{comment}\n", line.trim_end())));
            }
            (_, None) => drop(lines.drain(range)),
        }
    }
    Some(())
}

/// The lines of an entry.
fn entry_lines(name: &str, entry: &Entry, indentation: usize) -> Option<Vec<String>> {
    let text = serde_yaml::to_string(&BTreeMap::from([(name, entry)])).ok()?;
    Some(indented(&text.lines().map(str::to_owned).collect::<Vec<_>>(), indentation))
}

/// The lines of an entry's fields.
fn field_lines(entry: &Entry) -> Option<Vec<String>> {
    Some(serde_yaml::to_string(entry).ok()?.lines().map(str::to_owned).collect())
}

/// The lines of each key, without their common indentation.
fn parts(lines: &[String]) -> Option<BTreeMap<String, Vec<String>>> {
    let (indentation, blocks) = blocks(lines, 0..lines.len())?;
    let part = |block: Block| {
        let lines = lines[block.lines].iter().map(|line| line.get(indentation..).unwrap_or_default().to_owned());
        (block.key, lines.collect())
    };
    Some(blocks.into_iter().map(part).collect())
}

fn indented(lines: &[String], indentation: usize) -> Vec<String> {
    lines.iter().map(|line| format!("{:indentation$}{line}\n", "")).collect()
}

/// Splits lines into keys with their values, and returns their indentation. Comments between two belong to neither.
fn blocks(lines: &[String], range: Range<usize>) -> Option<(usize, Vec<Block>)> {
    let first = range.clone().find(|line| has_content(&lines[*line]));
    let Some(first) = first else { return Some((INDENTATION, Vec::new())) };
    let outer = indentation(&lines[first]);
    let mut blocks: Vec<Block> = Vec::new();
    for index in range {
        let line = &lines[index];
        let is_deeper = indentation(line) > outer;
        if line.trim().is_empty() || (!is_deeper && !has_content(line)) {
            continue;
        }
        match blocks.last_mut() {
            Some(block) if is_deeper => block.lines.end = index + 1,
            _ if is_deeper && !has_content(line) => {}
            _ if indentation(line) == outer => {
                blocks.push(Block { key: key(line.trim())?.0.to_owned(), lines: index..index + 1 });
            }
            _ => return None,
        }
    }
    Some((outer, blocks))
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Whether a line is neither blank nor a comment.
fn has_content(line: &str) -> bool {
    let text = line.trim();
    !text.is_empty() && !text.starts_with('#')
}

/// Splits `key: value`. Keys with escapes are left to the parser.
fn key(content: &str) -> Option<(&str, &str)> {
    for quote in ['"', '\''] {
        if let Some(rest) = content.strip_prefix(quote) {
            let (key, rest) = rest.split_once(quote)?;
            let rest = rest.strip_prefix(':')?;
            return (!key.contains('\\')).then_some((key, rest));
        }
    }
    content.split_once(": ").or_else(|| content.strip_suffix(':').map(|key| (key, "")))
}

/// The value in the line of a key, without a comment.
fn value(line: &str) -> Option<&str> {
    let value = key(line.trim())?.1.trim();
    Some(if value.starts_with('#') { "" } else { value.split(" #").next().unwrap_or_default().trim() })
}

/// The comment at the end of a line whose value has no quotes.
fn trailing_comment(line: &str) -> Option<&str> {
    let at = line.find(" #").filter(|_| !line.contains(['"', '\'']))?;
    // The spaces before it stay too.
    let start = line[..at].trim_end().len();
    Some(line[start..].trim_end())
}

#[cfg(test)]
mod tests;
