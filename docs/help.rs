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
    /// The meanings that exit codes have for this command alone, a line for each; mostly empty.
    pub exit_codes: String,
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
        // The help is wrapped, and a command that is wrapped cannot be run. The examples of the program itself are not
        // behind its help.
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = after.strip_prefix("Examples:\n").unwrap_or(examples);
        let (examples, exit_codes) = examples.split_once("\n\nExit codes:\n").unwrap_or((examples, ""));
        Self {
            about: about.trim().to_owned(),
            examples: unindent(examples),
            exit_codes: unindent(exit_codes),
            usage: format!("Usage: {}", usage.trim_end()),
        }
    }
}

fn unindent(text: &str) -> String {
    text.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_not_wrapped_and_end_before_the_exit_codes() {
        let long = format!("kubectl replicas list {}", "-l app=shop ".repeat(20).trim());
        for (name, rest, exit_codes) in
            [("examples", "", ""), ("with exit codes", "\n\nExit codes:\n  0  done\n  1  failed", "0  done\n1  failed")]
        {
            let template = "{about}{after-help}\n\n{usage-heading} {usage}\n\n{all-args}";
            let command = Command::new("list")
                .about("List")
                .help_template(template)
                .term_width(WIDTH)
                .after_help(format!("Examples:\n  # Many words\n  {long}{rest}"));
            let help = Help::of(&command);
            assert_eq!(help.examples, format!("# Many words\n{long}"), "{name}");
            assert_eq!((help.about.as_str(), help.exit_codes.as_str()), ("List", exit_codes), "{name}");
        }
    }
}
