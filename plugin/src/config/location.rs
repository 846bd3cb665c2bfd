//! The location of the configuration file.

use std::{env, path::PathBuf};

/// The environment variable that names another configuration file.
pub(crate) const PATH_VARIABLE: &str = "KUBECTL_REPLICAS_CONFIG";

/// The path of the configuration file. The file need not exist.
pub(crate) fn path() -> Option<PathBuf> {
    let named = env::var_os(PATH_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    named.or_else(default_path)
}

/// The path that holds unless [`PATH_VARIABLE`] names another.
pub(crate) fn default_path() -> Option<PathBuf> {
    Some(dirs::config_dir()?.join("kubectl-replicas").join("config.yaml"))
}
