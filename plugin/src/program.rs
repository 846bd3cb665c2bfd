//! The name under which the user runs this program. Help and hints show commands that can be run as they stand.

use std::{env, path::Path, sync::OnceLock};

/// The name in the texts of this program.
const DEFAULT: &str = "kubectl replicas";

/// The name of this run, such as `kubectl replicas`, or `kubectl hold-replicas` for `kubectl-hold_replicas`.
pub(crate) fn name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let program = env::args_os().next().unwrap_or_default();
        plugin_name(Path::new(&program)).unwrap_or_else(|| DEFAULT.to_owned())
    })
}

/// The words with which kubectl runs a plugin: dashes separate words, and an underscore is a dash.
fn plugin_name(program: &Path) -> Option<String> {
    let plugin = program.file_stem()?.to_str()?.strip_prefix("kubectl-")?;
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let is_plugin = !plugin.is_empty() && plugin.chars().all(is_plain);
    is_plugin.then(|| format!("kubectl {}", plugin.replace('-', " ").replace('_', "-")))
}

/// Writes the name of this run into a text that names commands of this program.
pub(crate) fn in_text(text: &str) -> String {
    text.replace(DEFAULT, name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_one_that_kubectl_accepts() {
        for (program, name) in [
            ("/usr/bin/kubectl-replicas", Some("kubectl replicas")),
            ("kubectl-hold_replicas", Some("kubectl hold-replicas")),
            ("kubectl-replicas.exe", Some("kubectl replicas")),
            ("kubectl-replicas-v2", Some("kubectl replicas v2")),
            ("/opt/replicas", None),
            ("kubectl-", None),
            ("kubectl-\u{1b}[2J", None),
            ("", None),
        ] {
            assert_eq!(plugin_name(Path::new(program)).as_deref(), name, "{program}");
        }
        assert_eq!(in_text("run `kubectl replicas login`"), "run `kubectl replicas login`");
    }
}
