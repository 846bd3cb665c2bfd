//! Writes the pages about the plugin from its help: `docs page` prints docs/plugin.md for `make docs`, and `docs man FOLDER`
//! writes man pages for `make man`.

mod help;
mod man;
mod page;

use std::{env, path::Path};

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["page"] => print!("{}", page::write()),
        ["man", folder] => man::write(Path::new(folder))?,
        _ => bail!("usage: docs page | docs man FOLDER"),
    }
    Ok(())
}
