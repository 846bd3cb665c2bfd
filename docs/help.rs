//! The help of a command, in its parts.

use clap::Command;

/// The width of the help, as on a terminal that is wide enough for a table.
pub const WIDTH: usize = 100;

/// The help of a command.
#[derive(Debug)]
pub struct Help {
    /// What it does, in paragraphs.
    pub about: String,
    /// Commands with comments.
    pub examples: String,
    /// The usage, the commands, the arguments and the flags.
    pub usage: String,
}

impl Help {
    /// Renders the long help of a command, and takes it apart.
    pub fn of(command: &Command) -> Self {
        let help = render(command.clone());
        let (before, usage) = help.split_once("\n\nUsage: ").unwrap_or((&help, ""));
        let (about, examples) = before.split_once("\n\nExamples:\n").unwrap_or((before, ""));
        // The rest says where the shared flags are.
        let usage = usage.split("\n\nUse \"").next().unwrap_or_default();
        let examples: Vec<_> = examples.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
        Self {
            about: about.trim().to_owned(),
            examples: examples.join("\n"),
            usage: format!("Usage: {}", usage.trim_end()),
        }
    }
}

/// Renders the long help, without spaces at the ends of lines.
pub fn render(mut command: Command) -> String {
    let help = command.render_long_help().to_string();
    help.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The plugin's description of its commands, with nothing of this machine.
pub fn program() -> Command {
    let mut program = kubectl_replicas::command()
        .term_width(WIDTH)
        .disable_help_subcommand(true)
        .after_help(kubectl_replicas::EXIT_CODES)
        .mut_args(|arg| arg.hide_env_values(true));
    program.build();
    program
}

/// Calls a function for each command, the program itself apart.
pub fn for_each<'a>(program: &'a Command, visit: &mut impl FnMut(&'a Command)) {
    for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
        visit(command);
        for_each(command, visit);
    }
}

/// The exit codes and their meanings.
pub fn exit_codes() -> Vec<(&'static str, &'static str)> {
    kubectl_replicas::EXIT_CODES.lines().filter_map(|line| line.trim().split_once("  ")).collect()
}
