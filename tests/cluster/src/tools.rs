//! The programs a cluster consists of: found on the machine where they fit, else built once and kept.

mod build;
mod versions;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use build::{Module, Workshop};

/// A program that tests and the demo call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// The store behind the API server.
    Etcd,
    /// The Kubernetes API server.
    KubeApiserver,
    /// The controllers of Kubernetes: Deployments, ReplicaSets, garbage collection and the rest.
    KubeControllerManager,
    /// Assigns pods to nodes.
    KubeScheduler,
    /// The command line of Kubernetes.
    Kubectl,
    /// Plays nodes and pods.
    Kwok,
    /// Installs charts.
    Helm,
    /// Installs charts, as many still do: with Helm 3.
    Helm3,
    /// Calls gRPC services.
    Grpcurl,
    /// Installs kubectl plugins.
    Krew,
    /// Checks what Prometheus reads.
    Promtool,
}

impl Tool {
    /// Every tool.
    pub const ALL: [Self; 11] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubectl,
        Self::Kwok,
        Self::Helm,
        Self::Helm3,
        Self::Grpcurl,
        Self::Krew,
        Self::Promtool,
    ];

    /// The name of its executable file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Kwok => "kwok",
            Self::Helm => "helm",
            Self::Helm3 => "helm3",
            Self::Grpcurl => "grpcurl",
            Self::Krew => "krew",
            Self::Promtool => "promtool",
        }
    }
}

/// Where each tool is.
#[derive(Clone, Debug)]
pub struct Tools {
    programs: BTreeMap<Tool, PathBuf>,
    kwok_files: PathBuf,
}

impl Tools {
    /// Finds every tool but promtool, and builds those that are missing: minutes the first time on a machine, no time
    /// afterwards.
    ///
    /// A tool is taken from the folder in `KUBEBUILDER_ASSETS`, from the cache of earlier builds, or from `PATH`, in
    /// this order, if its version fits the one that the `go.mod` files of `tools/` pin.
    ///
    /// # Errors
    ///
    /// If a tool has to be built and cannot be.
    pub fn ready() -> Result<Self> {
        let workshop = Workshop::open(Module::CLUSTER)?;
        let mut programs = BTreeMap::new();
        for tool in Tool::ALL.into_iter().filter(|tool| *tool != Tool::Promtool) {
            programs.insert(tool, found_or_built(tool, &workshop)?);
        }
        Ok(Self { programs, kwok_files: workshop.kwok_files()? })
    }

    /// The executable file of a tool.
    pub fn path(&self, tool: Tool) -> &Path {
        self.programs.get(&tool).map_or(Path::new(tool.name()), PathBuf::as_path)
    }

    /// Fills `folder` with a link to each tool, so that the folder on `PATH` gives exactly these.
    ///
    /// # Errors
    ///
    /// If a link cannot be made.
    pub fn link_into(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        for (tool, program) in &self.programs {
            let link = folder.join(tool.name());
            symlink(program, &link).with_context(|| format!("failed to create the link {}", link.display()))?;
        }
        Ok(())
    }

    /// The folder of kwok's stages and custom resource definitions.
    pub(crate) fn kwok_files(&self) -> &Path {
        &self.kwok_files
    }
}

/// The executable file of promtool, which few need: found or built like the other tools, but only when it is asked for.
///
/// # Errors
///
/// If it has to be built and cannot be.
pub fn promtool() -> Result<PathBuf> {
    found_or_built(Tool::Promtool, &Workshop::open(Module::PROMTOOL)?)
}

fn found_or_built(tool: Tool, workshop: &Workshop) -> Result<PathBuf> {
    let [assets, path] = ["KUBEBUILDER_ASSETS", "PATH"].map(|name| env::var_os(name).unwrap_or_default());
    match find(tool, &assets).or_else(|| workshop.built(tool)).or_else(|| find(tool, &path)) {
        Some(program) => Ok(program),
        None => workshop.build(tool),
    }
}

/// Looks for a tool of a fitting version in a list of folders such as `PATH`.
fn find(tool: Tool, folders: &OsString) -> Option<PathBuf> {
    // Where Helm 3 is the only one, it has the plain name.
    let names = if tool == Tool::Helm3 { &["helm3", "helm"][..] } else { &[tool.name()] };
    env::split_paths(folders)
        .filter(|folder| folder.is_absolute())
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|program| program.is_file() && fits(tool, program))
}

fn fits(tool: Tool, program: &Path) -> bool {
    let Ok(output) = Command::new(program).args(versions::arguments(tool)).output() else {
        return false;
    };
    // grpcurl prints its version on standard error.
    let text = [output.stdout, output.stderr].concat();
    versions::fits(tool, &String::from_utf8_lossy(&text))
}
