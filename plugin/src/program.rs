//! The name under which the user runs this program. Help and hints show commands that can be run as they stand.

use std::{
    env, io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// The name in the texts of this program.
const DEFAULT: &str = "kubectl replicas";

/// The start of the file name of a plugin.
const PLUGIN: &str = "kubectl-";

/// The start of the file name of the program that kubectl asks for the completions of a plugin.
const COMPLETER: &str = "kubectl_complete-";

/// The name of this run, such as `kubectl replicas`, or `kubectl hold-replicas` for `kubectl-hold_replicas`.
pub(crate) fn name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| plugin_name(&first_argument()).unwrap_or_else(|| DEFAULT.to_owned()))
}

/// Whether kubectl runs this program for the completions of the plugin.
pub(crate) fn is_completer() -> bool {
    first_argument().file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(COMPLETER))
}

/// The name of the file of this program, such as `kubectl-replicas`.
pub(crate) fn file_name() -> String {
    let name = first_argument().file_stem().and_then(|name| name.to_str()).map(str::to_owned);
    name.filter(|name| name.starts_with(PLUGIN) && is_plain(name)).unwrap_or_else(|| "kubectl-replicas".to_owned())
}

/// The name of the completer of a plugin: `kubectl_complete-replicas` for `kubectl-replicas`.
pub(crate) fn completer_name(plugin: &Path) -> String {
    let name = plugin.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(PLUGIN));
    format!("{COMPLETER}{}", name.unwrap_or("replicas"))
}

/// The file of this program, where the shell or kubectl has found it. It may be a link, as those of krew are.
pub(crate) fn path() -> io::Result<PathBuf> {
    let program = first_argument();
    if program.components().count() > 1 {
        return std::path::absolute(program);
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&folders).map(|folder| folder.join(&program)).find(|path| path.is_file());
    found.map_or_else(env::current_exe, Ok)
}

fn first_argument() -> PathBuf {
    env::args_os().next().unwrap_or_default().into()
}

/// The words with which kubectl runs a plugin: dashes separate words, and an underscore is a dash.
fn plugin_name(program: &Path) -> Option<String> {
    let file = program.file_stem()?.to_str()?;
    let plugin = file.strip_prefix(PLUGIN).or_else(|| file.strip_prefix(COMPLETER))?;
    is_plain(plugin).then(|| format!("kubectl {}", plugin.replace('-', " ").replace('_', "-")))
}

fn is_plain(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    !name.is_empty() && name.chars().all(is_plain)
}

/// The flags of this run that say which cluster and user its commands are for.
static CHOICE: OnceLock<Vec<String>> = OnceLock::new();

/// Lets the commands of hints have these flags of this run, such as `--context=prod`. The first choice holds.
pub(crate) fn choose(flags: Vec<String>) {
    let _ = CHOICE.set(flags);
}

/// Writes the name of this run into a text that names commands for the same cluster and user, with the flags that choose
/// both.
pub(crate) fn in_hint(text: &str) -> String {
    with_flags(&in_text(text), CHOICE.get().map(Vec::as_slice).unwrap_or_default())
}

/// Adds flags to the commands in a text, except those that a command has.
fn with_flags(text: &str, flags: &[String]) -> String {
    let start = format!("{} ", name());
    let add_flags = |command: &str| {
        let own = command.split(['`', '\n']).next().unwrap_or_default();
        let is_missing = |flag: &&String| flag.split_once('=').is_none_or(|(name, _)| !own.contains(name));
        flags.iter().filter(is_missing).map(|flag| format!("{flag} ")).collect::<String>() + command
    };
    let mut parts = text.split(&start);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, command| text + &start + &add_flags(command))
}

/// Lets the commands of this program in a text choose a context of the kubeconfig. The text has the name of this run.
pub(crate) fn in_context(text: &str, context: &str) -> String {
    with_flags(text, &[format!("--context={}", quote(context))])
}

/// Quotes a word for a shell, if it needs that.
pub(crate) fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@+=,".contains(c);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
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
            ("/usr/bin/kubectl_complete-hold_replicas", Some("kubectl hold-replicas")),
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

    #[test]
    fn the_commands_of_a_hint_have_the_flags_of_the_run() {
        let flags = ["--context=prod", "--as=robot"].map(str::to_owned);
        for (text, expected) in [
            ("leave it out", "leave it out"),
            ("run: kubectl replicas undo", "run: kubectl replicas --context=prod --as=robot undo"),
            (
                "`kubectl replicas get a`, or `kubectl replicas login --as=robot`",
                "`kubectl replicas --context=prod --as=robot get a`, or `kubectl replicas --context=prod login --as=robot`",
            ),
        ] {
            assert_eq!(with_flags(text, &flags), expected, "{text}");
        }
        assert_eq!(with_flags("`kubectl replicas login`", &[]), "`kubectl replicas login`");
    }

    #[test]
    fn a_word_that_a_shell_would_split_is_quoted() {
        for (word, quoted) in [
            ("arn:aws:eks:eu-west-1:1:cluster/prod", "arn:aws:eks:eu-west-1:1:cluster/prod"),
            ("admin@prod", "admin@prod"),
            ("my prod", "'my prod'"),
            ("it's", r"'it'\''s'"),
            ("$(reboot)", "'$(reboot)'"),
        ] {
            assert_eq!(quote(word), quoted, "{word}");
        }
    }

    #[test]
    fn the_completer_has_the_name_that_kubectl_looks_for() {
        for (plugin, completer) in [
            ("/usr/bin/kubectl-replicas", "kubectl_complete-replicas"),
            ("kubectl-hold_replicas", "kubectl_complete-hold_replicas"),
            ("kubectl-replicas.exe", "kubectl_complete-replicas.exe"),
            ("/opt/replicas", "kubectl_complete-replicas"),
        ] {
            assert_eq!(completer_name(Path::new(plugin)), completer, "{plugin}");
        }
    }
}
