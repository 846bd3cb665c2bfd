//! docs/plugin.md.

use clap::{Arg, Command};

use crate::{
    help::{Help, WIDTH, exit_codes, for_each, program, render},
    markdown::{cell, escape},
};

/// Writes the page.
pub fn write() -> String {
    let program = program();
    let help = Help::of(&program);
    let mut page = format!(
        "# kubectl replicas\n\n<!-- Written by `make docs`, from the help of the plugin. -->\n\n{}. `kubectl replicas COMMAND \
         --help` shows the same in a terminal, and `make man` writes man pages. [Completion](#kubectl-replicas-completion) \
         shows commands, flags and targets as you type.\n\n```sh\n{}\n```\n",
        help.about, help.examples
    );
    page += &table_of_commands(&program);
    for_each(&program, &mut |command| page += &section(command));
    page += "\n## Flags that all commands share\n\nkubectl's own flags mean what they mean in kubectl.\n\n";
    page += &format!("```text\n{}\n```\n", shared_flags(&program));
    page += "\n## Exit codes\n\n| code | meaning |\n|---|---|\n";
    for (code, meaning) in exit_codes() {
        page += &format!("| {code} | {} |\n", cell(meaning));
    }
    page + &environment(&program)
}

fn table_of_commands(program: &Command) -> String {
    let mut table = "\n| command | |\n|---|---|\n".to_owned();
    for_each(program, &mut |command| {
        if !command.has_subcommands() {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let name = name(command);
            table += &format!("| [`{}`](#{}) | {} |\n", name, name.replace(' ', "-"), cell(&about));
        }
    });
    table
}

fn name(command: &Command) -> String {
    command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn section(command: &Command) -> String {
    let Help { about, examples, exit_codes, usage } = Help::of(command);
    let block = |start: &str, text: &str| match text {
        "" => String::new(),
        text => format!("\n```{start}\n{text}\n```\n"),
    };
    let (examples, exit_codes) = (block("sh", &examples), block("text\nExit codes:", &exit_codes));
    format!("\n## {}\n\n{}\n{examples}{exit_codes}\n```text\n{usage}\n```\n", name(command), prose(&about))
}

/// Joins the lines of each paragraph, since the page is not wrapped. The last sentence of a title has no full stop.
fn prose(about: &str) -> String {
    let paragraphs =
        about.split("\n\n").map(|paragraph| paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    let paragraphs = paragraphs.map(|text| if text.ends_with(['.', ':']) { text } else { text + "." });
    paragraphs.map(|text| escape(&text)).collect::<Vec<_>>().join("\n\n")
}

fn shared(program: &Command) -> impl Iterator<Item = &Arg> {
    program.get_arguments().filter(|arg| arg.is_global_set())
}

fn shared_flags(program: &Command) -> String {
    let flags = shared(program).map(|arg| arg.clone().hide(false));
    let command = Command::new("options").disable_help_flag(true).args(flags).term_width(WIDTH);
    render(command.help_template("{all-args}")).trim_end().to_owned()
}

fn environment(program: &Command) -> String {
    let mut table =
        "\n## Environment variables\n\nA flag overrides its variable.\n\n| variable | |\n|---|---|\n".to_owned();
    let variables = shared(program).filter_map(|arg| Some((arg.get_env()?.to_str()?, arg.get_long()?)));
    for (variable, flag) in variables {
        table += &format!("| `{variable}` | `--{flag}` |\n");
    }
    for (variable, meaning) in [
        (
            "KUBECTL_REPLICAS_CONFIG",
            "the configuration file, instead of the one that `kubectl replicas config path` shows",
        ),
        (
            "KUBECTL_REPLICAS_STATE",
            "the log of your last commands, for `undo`, instead of `~/.local/state/kubectl-replicas/operations.json`",
        ),
        ("KUBECONFIG", "the kubeconfig files, as in kubectl"),
        ("HTTPS_PROXY`, `NO_PROXY", "the way to the API server, as in kubectl; also in lower case"),
        ("NO_COLOR", "anything turns colours off"),
    ] {
        table += &format!("| `{variable}` | {meaning} |\n");
    }
    table
}

#[cfg(test)]
mod tests {
    use std::{env, fs};

    use super::*;

    #[test]
    fn the_page_is_what_the_help_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/plugin.md");
        let page = fs::read_to_string(path).unwrap();
        assert!(page == write(), "{path} is older than the help: run `make docs`");
    }

    #[test]
    fn the_page_has_each_command_with_its_examples_and_nothing_of_this_machine() {
        let page = write();
        for name in ["list", "set", "unset", "config set", "completion install"] {
            let heading = format!("\n## kubectl replicas {name}\n");
            let (_, section) = page.split_once(&heading).unwrap_or_else(|| panic!("no section for {name}: {page}"));
            let at = |part: &str| section.find(part).unwrap_or_else(|| panic!("no {part:?} in {section}"));
            assert!(at("```sh\n# ") < at("```text\nUsage: kubectl replicas "), "{section}");
        }
        let (_, doctor) = page.split_once("\n## kubectl replicas doctor\n").unwrap();
        let (examples, rest) = doctor.split_once("\n```\n\n").unwrap();
        assert!(!examples.contains("Exit codes") && rest.starts_with("```text\nExit codes:\n0  "), "{doctor}");
        assert!(page.contains("| `KUBECTL_REPLICAS_STATE` |"), "{page}");
        assert!(!page.split("\n## Flags that all").next().unwrap().contains("--kubeconfig "), "they are shown once");
        assert!(page.contains("| 130 | ") && page.contains("| `KUBECTL_REPLICAS_CA` | `--ca` |"), "{page}");
        let home = env::home_dir().unwrap_or_default().display().to_string();
        assert!(home.len() < 2 || !page.contains(&home), "{page}");
    }
}
