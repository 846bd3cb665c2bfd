//! Writes the pages that follow from other files, checks the links of all pages, and makes a site of them.
//!
//! `docs page` prints docs/plugin.md and `docs api` docs/api.md, for `make docs`. `docs man FOLDER` writes man pages,
//! `docs links ROOT` checks links, and `docs site ROOT FOLDER` writes the source of the site.

mod api;
mod help;
mod links;
mod man;
mod markdown;
#[cfg(test)]
mod messages;
mod page;
mod rpcs;
mod schema;
mod site;

use std::{env, path::Path};

use anyhow::{Result, bail, ensure};

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["page"] => print!("{}", page::write()),
        ["api"] => print!("{}", api::write()?),
        ["man", folder] => man::write(Path::new(folder))?,
        ["links", root] => check_links(Path::new(root))?,
        ["site", root, folder] => site::write(Path::new(root), Path::new(folder), &repository())?,
        _ => bail!("usage: docs page | docs api | docs man FOLDER | docs links ROOT | docs site ROOT FOLDER"),
    }
    Ok(())
}

fn check_links(root: &Path) -> Result<()> {
    let broken = links::broken(&links::pages(root)?, |path| root.join(path).exists());
    ensure!(broken.is_empty(), "links lead nowhere:\n{}", broken.join("\n"));
    Ok(())
}

/// The address of the repository: that of the release, or the placeholder for it.
fn repository() -> String {
    env::var("RELEASE_REPOSITORY").unwrap_or_else(|_| "https://repository.invalid".to_owned())
}
