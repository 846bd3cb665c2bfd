//! The man pages: one for the program, and one for each command.

use std::{fs, io, path::Path};

use anyhow::{Context, Result};
use clap::Command;
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use crate::help::{Help, exit_codes, for_each, program};

/// Writes the pages into a folder.
pub fn write(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let program = program();
    let mut pages = Vec::new();
    for_each(&program, &mut |command| pages.push(page(command)));
    // The flags that all commands share are described once, in the page of the program.
    pages.push(page(&program.clone().mut_args(|arg| arg.hide(false))));
    for page in pages {
        let (name, text) = page?;
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}

/// A page, and the name of its file.
fn page(command: &Command) -> io::Result<(String, Vec<u8>)> {
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    let Help { examples, exit_codes: own_codes, .. } = Help::of(command);
    // clap_mangen would fill the lines of examples into paragraphs.
    render_literally("EXAMPLES", &examples, &mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let codes: Vec<_> = exit_codes().into_iter().map(|(code, meaning)| format!("{code:>3}  {meaning}")).collect();
    let codes =
        if own_codes.is_empty() { codes.join("\n") } else { own_codes + "\n\nOf all commands:\n" + &codes.join("\n") };
    render_literally("EXIT STATUS", &codes, &mut text)?;
    Ok((man.get_filename(), text))
}

fn render_literally(heading: &str, lines: &str, page: &mut Vec<u8>) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut section = Roff::new();
    section.control("SH", [heading]).control("nf", []);
    for line in lines.lines() {
        section.text([roman(line)]);
    }
    section.control("fi", []).to_writer(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_with_its_examples() {
        let program = program();
        let mut pages = Vec::new();
        for_each(&program, &mut |command| pages.push(page(command).unwrap()));
        let text = |name: &str| {
            let (_, text) = pages.iter().find(|(file, _)| file == name).unwrap_or_else(|| panic!("no {name}"));
            String::from_utf8(text.clone()).unwrap()
        };
        let set = text("kubectl-replicas-set.1");
        for part in [".SH EXAMPLES", "kubectl replicas set web 3", "allow\\-missing", ".SH \"EXIT STATUS\""] {
            assert!(set.contains(part), "no {part:?} in {set}");
        }
        assert!(!set.contains("kubeconfig"), "{set}");
        assert!(text("kubectl-replicas-config-set.1").contains("serverName"));
    }
}
