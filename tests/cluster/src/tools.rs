//! Finds the programs of a cluster on the machine, or builds them once.

mod build;
mod tool;
mod versions;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use build::{Module, Workshop};
pub use tool::Tool;
use versions::{pinned, program_fits};

/// The tools of a cluster, and their executable files.
#[derive(Clone, Debug)]
pub struct Tools {
    programs: BTreeMap<Tool, PathBuf>,
    kwok_files: PathBuf,
}

impl Tools {
    /// Finds every tool of a cluster, and builds missing ones. The first time on a machine takes minutes.
    ///
    /// `KUBERNETES=1.30` in the environment chooses the control plane of the oldest Kubernetes that is supported instead of
    /// the newest one.
    ///
    /// It looks in the folder of `KUBEBUILDER_ASSETS`, in the cache of earlier builds, and in `PATH`, in this order. A
    /// tool must fit the version that the `go.mod` files of `tools/` pin.
    ///
    /// # Errors
    ///
    /// If a tool has to be built and cannot be, or if there is no control plane of the version in `KUBERNETES`.
    pub fn ready() -> Result<Self> {
        let workshop = Workshop::open(Module::CLUSTER)?;
        let control_plane = Workshop::open(control_plane()?)?;
        let mut programs = BTreeMap::new();
        for tool in Tool::ALL.into_iter().filter(|tool| !tool.is_apart()) {
            let workshop = if tool.is_of_control_plane() { &control_plane } else { &workshop };
            programs.insert(tool, found_or_built(tool, workshop)?);
        }
        Ok(Self { programs, kwok_files: workshop.kwok_files()? })
    }

    /// The executable file of a tool.
    pub fn path(&self, tool: Tool) -> &Path {
        self.programs.get(&tool).map_or(Path::new(tool.name()), PathBuf::as_path)
    }

    /// Creates a link to each tool in `folder`, for use on `PATH`.
    ///
    /// # Errors
    ///
    /// If a link cannot be made.
    pub(crate) fn link_into(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        for (tool, program) in &self.programs {
            let link = folder.join(tool.name());
            symlink(program, &link).with_context(|| format!("failed to create the link {}", link.display()))?;
        }
        Ok(())
    }

    /// The folder of kwok's stages and CRDs.
    pub(crate) fn kwok_files(&self) -> &Path {
        &self.kwok_files
    }
}

/// The executable file of one tool, for those who need no cluster. It is found or built like all tools of a cluster.
///
/// # Errors
///
/// As of [`Tools::ready`].
pub fn find_tool(tool: Tool) -> Result<PathBuf> {
    let module = match tool {
        Tool::Promtool => Module::PROMTOOL,
        Tool::Actionlint => Module::ACTIONLINT,
        _ if tool.is_of_control_plane() => control_plane()?,
        _ => Module::CLUSTER,
    };
    found_or_built(tool, &Workshop::open(module)?)
}

/// The module of the control plane that `KUBERNETES` asks for.
fn control_plane() -> Result<Module> {
    let version = env::var("KUBERNETES").unwrap_or_default();
    let is_of = |module: &Module| {
        let pinned = pinned(Tool::KubeApiserver, module.go_mod).trim_start_matches('v');
        version.is_empty() || pinned == version || pinned.starts_with(&format!("{version}."))
    };
    match [Module::CLUSTER, Module::OLDEST].into_iter().find(is_of) {
        Some(module) => Ok(module),
        None => bail!("KUBERNETES={version} is neither 1.30 nor the newest version: leave it empty"),
    }
}

fn found_or_built(tool: Tool, workshop: &Workshop) -> Result<PathBuf> {
    let [assets, path] = ["KUBEBUILDER_ASSETS", "PATH"].map(|name| env::var_os(name).unwrap_or_default());
    let find = |folders| find(tool, folders, workshop.module.go_mod);
    match find(&assets).or_else(|| workshop.built(tool)).or_else(|| find(&path)) {
        Some(program) => Ok(program),
        None => workshop.build(tool),
    }
}

/// Looks for a tool of a fitting version in a list of folders such as `PATH`.
fn find(tool: Tool, folders: &OsString, go_mod: &str) -> Option<PathBuf> {
    // If Helm 3 is the only Helm on the machine, it is called `helm`.
    let names = if tool == Tool::Helm3 { &["helm3", "helm"][..] } else { &[tool.name()] };
    env::split_paths(folders)
        .filter(|folder| folder.is_absolute())
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|program| program.is_file() && program_fits(tool, program, go_mod))
}
