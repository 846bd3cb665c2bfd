//! The source of the site: the pages that docs/README.md leads to, with a table of contents, for mdBook.

use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::links::{Pages, links, pages, prose, resolve};

/// The page that the site begins with, and the index that its table of contents follows.
const START: &str = "README.md";
const INDEX: &str = "docs/README.md";

/// Writes the source into a folder. `repository` is the address of the files that are no pages.
pub fn write(root: &Path, folder: &Path, repository: &str) -> Result<()> {
    let pages = pages(root)?;
    let found = reachable(&pages);
    let source = folder.join("src");
    for page in &found {
        let text = pages.get(page).context("a page is missing")?;
        save(&source.join(page), to_site(page, text, &found, repository).as_bytes())?;
        for picture in pictures(page, text) {
            save(&source.join(&picture), &fs::read(root.join(&picture))?)?;
        }
    }
    save(&source.join("SUMMARY.md"), summary(&pages, &found).as_bytes())?;
    let book = "[book]\ntitle = \"Replica Count Manager\"\nlanguage = \"en\"\n\n[output.html]\n";
    let book = format!("{book}git-repository-url = \"{repository}\"\n");
    save(&folder.join("book.toml"), book.as_bytes())
}

fn save(path: &Path, content: &[u8]) -> Result<()> {
    fs::create_dir_all(path.parent().context("a file is in no folder")?)?;
    fs::write(path, content).with_context(|| format!("failed to write {}", path.display()))
}

/// The pages to which links lead from the start and the index, these first and then in the order of the links.
fn reachable(pages: &Pages) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = vec![START.into(), INDEX.into()];
    let mut waiting = VecDeque::from([PathBuf::from(INDEX), PathBuf::from(START)]);
    while let Some(page) = waiting.pop_front() {
        for link in pages.get(&page).map(|text| links(text)).unwrap_or_default() {
            let target = resolve(&page, &link).map(|(target, _)| target);
            let Some(target) = target.filter(|target| pages.contains_key(target) && !found.contains(target)) else {
                continue;
            };
            found.push(target.clone());
            waiting.push_back(target);
        }
    }
    found
}

fn pictures(page: &Path, text: &str) -> BTreeSet<PathBuf> {
    let targets = links(text).into_iter().filter_map(|link| Some(resolve(page, &link)?.0));
    targets.filter(|path| is_picture(path)).collect()
}

fn is_picture(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "svg" || extension == "png")
}

/// The text of a page with its links to other files than pages and pictures as addresses in the repository.
fn to_site(page: &Path, text: &str, found: &[PathBuf], repository: &str) -> String {
    let mut text = text.to_owned();
    for link in links(&text).into_iter().collect::<BTreeSet<_>>() {
        let Some((target, _)) = resolve(page, &link) else { continue };
        if !found.contains(&target) && !is_picture(&target) {
            let address = format!("]({repository}/blob/main/{})", target.display());
            text = text.replace(&format!("]({link})"), &address);
        }
    }
    text
}

/// The table of contents: the sections of the index, and then the other pages.
fn summary(pages: &Pages, found: &[PathBuf]) -> String {
    let mut listed = BTreeSet::from([PathBuf::from(START), PathBuf::from(INDEX)]);
    let mut text = format!("# Summary\n\n[Replica Count Manager]({START})\n[Pages]({INDEX})\n");
    let index = pages.get(Path::new(INDEX)).map(String::as_str).unwrap_or_default();
    for line in prose(index) {
        if let Some(section) = line.strip_prefix("## ") {
            text += &format!("\n# {section}\n\n");
        }
        for target in links(line).iter().filter_map(|link| Some(resolve(Path::new(INDEX), link)?.0)) {
            if found.contains(&target) && listed.insert(target.clone()) {
                text += &entry(pages, &target);
            }
        }
    }
    text += "\n# More\n\n";
    let others = found.iter().filter(|page| !listed.contains(*page));
    text + &others.map(|page| entry(pages, page)).collect::<String>()
}

fn entry(pages: &Pages, page: &Path) -> String {
    let text = pages.get(page).map(String::as_str).unwrap_or_default();
    let title = prose(text).find_map(|line| line.strip_prefix("# ")).unwrap_or("Page");
    format!("- [{}]({})\n", title.replace(['[', ']'], ""), page.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_site_has_each_page_once_and_leads_out_for_other_files() {
        let index = "# Pages\n\n## Use\n\n| [a](a.md) | x |\n| [a again](a.md#b) | x |\n\n## Run\n\n[b](b.md)\n";
        let pages: Pages = [
            ("README.md", "# Product\n\n[all](docs/README.md) [design](DESIGN.md)\n"),
            ("docs/README.md", index),
            ("docs/a.md", "# A\n\n[code](../server/main.rs) [b](b.md) ![picture](c.svg)\n"),
            ("docs/b.md", "# B\n"),
            ("DESIGN.md", "# Design\n"),
            ("lost.md", "# Lost\n"),
        ]
        .map(|(path, text)| (PathBuf::from(path), text.to_owned()))
        .into();
        let found = reachable(&pages);
        assert_eq!(
            summary(&pages, &found),
            "# Summary\n\n[Replica Count Manager](README.md)\n[Pages](docs/README.md)\n\n# Use\n\n- [A](docs/a.md)\n\n\
             # Run\n\n- [B](docs/b.md)\n\n# More\n\n- [Design](DESIGN.md)\n"
        );
        let page = Path::new("docs/a.md");
        assert_eq!(
            to_site(page, &pages[page], &found, "https://example.com"),
            "# A\n\n[code](https://example.com/blob/main/server/main.rs) [b](b.md) ![picture](c.svg)\n"
        );
        assert_eq!(pictures(page, &pages[page]), BTreeSet::from([PathBuf::from("docs/c.svg")]));
    }
}
