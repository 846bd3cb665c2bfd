//! The files of a crate, by module.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::paths::{self, File};

/// A module, by the names on the way from the root of its crate.
pub(crate) type Module = Vec<String>;

/// The modules of a crate that have files of their own.
pub(crate) struct Crate {
    pub(crate) modules: BTreeMap<Module, File>,
}

/// Re-exports of re-exports end somewhere, unless they go round.
const MAX_REEXPORTS: usize = 8;

impl Crate {
    /// Reads the main file of a crate and the files of its modules.
    pub(crate) fn read(main: &Path) -> Result<Self> {
        let mut files = Self { modules: BTreeMap::new() };
        let folder = main.parent().context("the file has no folder")?;
        files.add(Module::new(), main, folder)?;
        Ok(files)
    }

    fn add(&mut self, module: Module, path: &Path, children: &Path) -> Result<()> {
        let code = fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
        let file = paths::read(&code).with_context(|| format!("failed to parse {}", path.display()))?;
        for child in &file.children {
            let folder = children.join(child);
            let candidates: [PathBuf; 2] = [folder.with_extension("rs"), folder.join("mod.rs")];
            let path = candidates.iter().find(|path| path.is_file());
            let path =
                path.with_context(|| format!("there is no file of the module {child} in {}", children.display()))?;
            self.add([&*module, std::slice::from_ref(child)].concat(), path, &folder)?;
        }
        self.modules.insert(module, file);
        Ok(())
    }

    /// The module whose file holds what a path in a module leads to; `None` for paths out of the crate.
    pub(crate) fn resolve(&self, module: &Module, path: &[String]) -> Option<Module> {
        let (mut base, mut rest) = match path.first()?.as_str() {
            "crate" => (Module::new(), &path[1..]),
            "self" => (module.clone(), &path[1..]),
            "super" => {
                let levels = path.iter().take_while(|name| *name == "super").count();
                (module[..module.len().saturating_sub(levels)].to_vec(), &path[levels..])
            }
            _ => return None,
        };
        let mut owned;
        for _ in 0..MAX_REEXPORTS {
            while let Some((name, below)) = rest.split_first() {
                let child = [&*base, std::slice::from_ref(name)].concat();
                if !self.modules.contains_key(&child) {
                    break;
                }
                (base, rest) = (child, below);
            }
            let Some((name, below)) = rest.split_first() else { break };
            let Some(reexport) = self.modules.get(&base)?.reexports.get(name) else { break };
            let inner = match reexport.first()?.as_str() {
                "crate" | "self" | "super" => self.rebased(&base, reexport),
                _ => [&*base, reexport].concat(),
            };
            owned = [&*inner, below].concat();
            (base, rest) = (Module::new(), &owned[..]);
        }
        self.modules.contains_key(&base).then_some(base)
    }

    /// A path that starts with `crate`, `self` or `super`, from the root of the crate.
    fn rebased(&self, module: &Module, path: &[String]) -> Vec<String> {
        match path.first().map(String::as_str) {
            Some("crate") => path[1..].to_vec(),
            Some("self") => [module, &path[1..]].concat(),
            _ => {
                let levels = path.iter().take_while(|name| *name == "super").count();
                [&module[..module.len().saturating_sub(levels)], &path[levels..]].concat()
            }
        }
    }
}
