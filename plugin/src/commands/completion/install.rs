//! `kubectl replicas completion install`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    completer::{self, Done},
    error::Error,
    output,
    program::{self, in_text},
};

const EXAMPLES: &str = "\
Examples:
  # Put the file beside the plugin
  kubectl replicas completion install

  # Put it into another folder of the PATH, if you may not write there
  kubectl replicas completion install --dir ~/.local/bin";

/// What else the shell needs.
const SHELL: &str = "\
it completes `kubectl replicas` in a shell that completes kubectl, from kubectl 1.26 on
hint: `kubectl completion --help` says how to complete kubectl in bash, zsh, fish and PowerShell";

/// Let kubectl complete this plugin: create the file that kubectl looks for
///
/// The file is a link to the plugin; on Windows it is a copy, so install it again after an update. A file of another
/// program is left as it is.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES))]
pub(super) struct InstallArgs {
    /// Create it in this folder, which must be on the PATH, instead of beside the plugin
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

/// Creates the file.
pub(super) fn run(args: &InstallArgs) -> Result<(), Error> {
    let plugin = program::path().map_err(completer::Error::NoProgram)?;
    let beside = plugin.parent().unwrap_or(Path::new("."));
    let folder = args.dir.as_deref().unwrap_or(beside);
    let (path, done) = completer::install(&plugin, folder)?;
    let what = match done {
        Done::Created => "created",
        Done::Replaced => "replaced",
        Done::Unchanged => "unchanged",
    };
    output::print(&format!("{} {what}\n", path.display()))?;
    if !is_on_path(folder) {
        output::note(&format!("warning: kubectl does not find it: {} is not on the PATH", folder.display()));
    }
    output::note(&in_text(SHELL));
    Ok(())
}

fn is_on_path(folder: &Path) -> bool {
    let same = |known: PathBuf| match (fs::canonicalize(known), fs::canonicalize(folder)) {
        (Ok(known), Ok(folder)) => known == folder,
        _ => false,
    };
    env::var_os("PATH").is_some_and(|folders| env::split_paths(&folders).any(same))
}
