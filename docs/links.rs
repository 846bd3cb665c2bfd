//! Checks that the links between the pages of the repository lead somewhere: to a file, and to a heading of a page.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, Result};

/// Folders without pages of the repository.
const SKIPPED: [&str; 4] = ["target", "dist", ".git", "node_modules"];

/// The pages by their paths from the root of the repository.
pub type Pages = BTreeMap<PathBuf, String>;

/// Reads all pages below a folder.
pub fn pages(root: &Path) -> Result<Pages> {
    let (mut pages, mut folders) = (Pages::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("failed to list {}", folder.display()))? {
            let path = entry?.path();
            let is_skipped = path.file_name().and_then(OsStr::to_str).is_none_or(|name| SKIPPED.contains(&name));
            if path.is_dir() && !path.is_symlink() && !is_skipped {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
                pages.insert(path.strip_prefix(root)?.to_owned(), text);
            }
        }
    }
    Ok(pages)
}

/// Finds the links of the pages that lead nowhere. `exists` says whether there is a file or folder.
pub fn broken(pages: &Pages, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut broken = Vec::new();
    for (page, text) in pages {
        for link in links(text) {
            let problem = match resolve(page, &link) {
                None => Some("leaves the repository"),
                Some((target, _)) if !exists(&target) => Some("leads to no file"),
                Some((target, anchor)) => match pages.get(&target) {
                    Some(text) if !anchor.is_empty() && !anchors(text).contains(anchor) => Some("leads to no heading"),
                    _ => None,
                },
            };
            broken.extend(problem.map(|problem| format!("{}: {link} {problem}", page.display())));
        }
    }
    broken
}

/// The local links and pictures of a page, outside of code.
pub fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(text) {
        let line = without_code(line);
        for start in ["](", "src=\"", "href=\""] {
            let end = if start == "](" { ')' } else { '"' };
            let targets = line.split(start).skip(1).filter_map(|rest| rest.split(end).next());
            // A title may follow the address.
            let targets = targets.filter_map(|target| target.split_whitespace().next());
            links.extend(targets.filter(|target| is_local(target)).map(str::to_owned));
        }
    }
    links
}

fn is_local(link: &str) -> bool {
    !["http://", "https://", "mailto:"].iter().any(|scheme| link.starts_with(scheme))
}

/// The path, from the root of the repository, and the anchor that a link of a page leads to. `None` if it leads out.
pub fn resolve<'a>(page: &Path, link: &'a str) -> Option<(PathBuf, &'a str)> {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    if path.is_empty() {
        return Some((page.to_owned(), anchor));
    }
    let mut target = page.parent().unwrap_or(Path::new("")).to_owned();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => target.push(name),
            Component::CurDir => {}
            Component::ParentDir if target.pop() => {}
            _ => return None,
        }
    }
    Some((target, anchor))
}

/// The lines outside of blocks of code.
pub fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// The anchors of a page, as GitHub and mdBook make them from its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in prose(text).filter(|line| line.starts_with('#')) {
        let anchor = anchor(line.trim_start_matches('#').trim());
        let others = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(others).find(|anchor| !anchors.contains(anchor));
        anchors.extend(free);
    }
    anchors
}

fn anchor(heading: &str) -> String {
    let mut text = String::new();
    for (index, part) in heading.split("](").enumerate() {
        // Each part but the first begins with the address of a link.
        let part = if index == 0 { part } else { part.split_once(')').map_or("", |(_, rest)| rest) };
        text += part;
    }
    let kept = text.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages_of<const N: usize>(pages: [(&str, &str); N]) -> Pages {
        pages.map(|(path, text)| (path.into(), text.to_owned())).into()
    }

    #[test]
    fn every_link_of_the_repository_leads_somewhere() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let pages = pages(root).unwrap();
        assert!(pages.len() > 20 && pages.contains_key(Path::new("docs/README.md")), "{:?}", pages.keys());
        let broken = broken(&pages, |path| root.join(path).exists());
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let exists = |path: &Path| ["a.md", "docs/b.md", "docs/c.svg", ""].iter().any(|it| path == Path::new(it));
        for (name, link, problem) in [
            ("a page", "[b](docs/b.md)", None),
            ("a heading", "[b](docs/b.md#two-words)", None),
            ("an own heading", "[a](#top)", None),
            ("a picture with a title", "![c](docs/c.svg \"title\")", None),
            ("outside", "[x](https://example.com/no.md)", None),
            ("in code", "`[x](no.md)`", None),
            ("a missing page", "[x](no.md)", Some("a.md: no.md leads to no file")),
            ("a missing picture", "<img src=\"no.svg\">", Some("a.md: no.svg leads to no file")),
            ("a missing heading", "[b](docs/b.md#three)", Some("a.md: docs/b.md#three leads to no heading")),
            ("a heading in code", "[b](docs/b.md#code)", Some("a.md: docs/b.md#code leads to no heading")),
            ("above the root", "[x](../x.md)", Some("a.md: ../x.md leaves the repository")),
        ] {
            let pages = pages_of([
                ("a.md", &format!("# Top\n\n{link}\n")),
                ("docs/b.md", "# B\n\n## Two words\n\n```sh\n# code\n[x](no.md)\n```\n\n[a](../a.md#top)\n"),
            ]);
            assert_eq!(broken(&pages, exists), problem.into_iter().collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn headings_have_the_anchors_of_github() {
        let text = "# What `kubectl replicas doctor` checks\n## A [link](x.md): and more\n## Same\n## Same\n";
        let expected = ["a-link-and-more", "same", "same-1", "what-kubectl-replicas-doctor-checks"];
        assert_eq!(anchors(text).into_iter().collect::<Vec<_>>(), expected);
    }
}
