//! Colours, for people who look at a terminal.

use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal},
    sync::OnceLock,
};

use clap::ValueEnum;

/// Users set this variable to anything if they want no colours: <https://no-color.org>.
const NO_COLOR: &str = "NO_COLOR";

/// When output has colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Even in a pipe or a file
    Always,
    /// Nowhere
    Never,
}

static CHOSEN: OnceLock<When> = OnceLock::new();

/// Chooses when output has colours. The first choice holds.
pub(crate) fn choose(when: When) {
    let _ = CHOSEN.set(when);
}

/// The choice in arguments that cannot be parsed, for their error.
pub(crate) fn of_arguments(arguments: &[OsString]) -> When {
    let words: Vec<_> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    let mut values = words.iter().enumerate().filter_map(|(index, word)| match word.strip_prefix("--color")? {
        "" => words.get(index + 1).copied(),
        rest => rest.strip_prefix('='),
    });
    values.next_back().and_then(|value| When::from_str(value, false).ok()).unwrap_or_default()
}

/// Whether text on stdout has colours.
pub(crate) fn on_stdout() -> bool {
    is_on(io::stdout().is_terminal())
}

/// Whether text on stderr has colours.
pub(crate) fn on_stderr() -> bool {
    is_on(io::stderr().is_terminal())
}

/// Whether text may have characters beyond ASCII, according to the locale of the environment.
pub(crate) fn is_unicode() -> bool {
    let variables = ["LC_ALL", "LC_CTYPE", "LANG"].map(|name| env::var(name).unwrap_or_default());
    names_utf8(&variables)
}

/// Whether the first locale that is set is one of UTF-8.
fn names_utf8(locales: &[String]) -> bool {
    let locale = locales.iter().find(|locale| !locale.is_empty()).map(|locale| locale.to_ascii_lowercase());
    locale.is_some_and(|locale| locale.contains("utf-8") || locale.contains("utf8"))
}

fn is_on(is_terminal: bool) -> bool {
    let is_wanted = || {
        let is_plain = env::var_os("TERM").is_some_and(|name| name == "dumb");
        env::var_os(NO_COLOR).is_none_or(|value| value.is_empty()) && !is_plain
    };
    match CHOSEN.get().copied().unwrap_or_default() {
        When::Always => true,
        When::Never => false,
        When::Auto => is_terminal && is_wanted(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_decides_about_characters() {
        for (locales, expected) in [
            (["", "", ""], false),
            (["", "", "en_US.UTF-8"], true),
            (["", "de_DE.utf8", "C"], true),
            (["C", "", "en_US.UTF-8"], false),
            (["POSIX", "", ""], false),
        ] {
            assert_eq!(names_utf8(&locales.map(str::to_owned)), expected, "{locales:?}");
        }
    }

    #[test]
    fn the_choice_is_found_in_wrong_arguments() {
        for (line, when) in [
            ("list --frobnicate", When::Auto),
            ("list --color=always -x", When::Always),
            ("--color never list -x", When::Never),
            ("--color=always --color=never", When::Never),
            ("--colors=always", When::Auto),
            ("--color", When::Auto),
            ("--color=pink", When::Auto),
        ] {
            let words: Vec<_> = line.split(' ').map(OsString::from).collect();
            assert_eq!(of_arguments(&words), when, "{line}");
        }
    }
}
