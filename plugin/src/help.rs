//! The order of the help: what a command does, examples, and then its arguments. The flags that all commands share are
//! left to `kubectl replicas options`.

use clap::Command;

use crate::program::in_text;

const SHARED: &str = "Use \"kubectl replicas options\" for the flags that all commands share.";

/// Arranges the help of the program. `examples` and the text after the help are those of the program itself.
pub(crate) fn of_program(command: Command, examples: &str) -> Command {
    let template =
        format!("{{about}}\n\n{examples}\n\n{{usage-heading}} {{usage}}\n\n{{all-args}}\n\n{SHARED}{{after-help}}");
    without_shared(command).help_template(in_text(&template)).mut_subcommands(of_command)
}

/// Arranges the help of a command, whose examples stand after the help otherwise.
fn of_command(command: Command) -> Command {
    let template = format!("{{about}}{{after-help}}\n\n{{usage-heading}} {{usage}}\n\n{{all-args}}\n\n{SHARED}");
    without_shared(command).help_template(in_text(&template)).mut_subcommands(of_command)
}

fn without_shared(command: Command) -> Command {
    command.mut_args(|arg| if arg.is_global_set() { arg.hide(true) } else { arg })
}
