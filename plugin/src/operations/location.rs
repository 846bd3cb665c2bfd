//! The location of the operation log.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The environment variable that names another file.
pub(crate) const PATH_VARIABLE: &str = "KUBECTL_REPLICAS_STATE";

/// The path of the log. The file need not exist.
pub(crate) fn path() -> Option<PathBuf> {
    let named = env::var_os(PATH_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    named.or_else(default_path)
}

/// Whether the path leads to the null device: a user who names it wants no log.
pub(super) fn is_null(path: &Path) -> bool {
    fs::canonicalize(path).is_ok_and(|path| path == Path::new("/dev/null"))
}

/// The path that holds unless [`PATH_VARIABLE`] names another.
pub(crate) fn default_path() -> Option<PathBuf> {
    let folder = dirs::state_dir().or_else(dirs::data_local_dir)?;
    Some(folder.join("kubectl-replicas").join("operations.json"))
}
