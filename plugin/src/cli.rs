//! The command line, and the runtime that its commands run in.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind, parser::ValueSource};
use tokio::runtime::Builder;

use crate::{
    args::ConnectionArgs,
    color,
    commands::{
        adopt::{self, AdoptArgs},
        blame::{self, BlameArgs},
        completion::{self as completion_command, CompletionArgs},
        config::{self, ConfigArgs},
        doctor::{self, DoctorArgs},
        explain::{self, ExplainArgs},
        export::{self, ExportArgs},
        get::{self, GetArgs},
        history::{self, HistoryArgs},
        list::{self, ListArgs},
        login::{self, LoginArgs},
        logout::{self, LogoutArgs},
        options::{self, OptionsArgs},
        set::{self, SetArgs},
        undo::{self, UndoArgs},
        unset::{self, UnsetArgs},
        version::{self, VersionArgs},
        wait::{self, WaitArgs},
        whoami::{self, WhoamiArgs},
    },
    completion,
    config::{PATH_VARIABLE, default_path, example},
    error::{self, Error, Exit},
    flags, help,
    interrupt::{self, guard, guard_watch},
    operations::location,
    output, program, session, trace, usage_error,
};

const EXAMPLES: &str = "\
Examples:
  # Hold the Deployment web at 3 replicas, even if others change its count
  kubectl replicas set web 3

  # List the managed targets of all namespaces, and who tried to change them
  kubectl replicas list -A -o wide

  # Explain why a target has its count, and who else writes it
  kubectl replicas explain web

  # Stop managing a StatefulSet
  kubectl replicas unset sts/db

  # Take back your last command
  kubectl replicas undo

  # Hold everything in the namespace at its current count
  kubectl replicas adopt

  # Get a client certificate, which most users need once
  kubectl replicas login

  # Find out why something does not work
  kubectl replicas doctor";

/// The exit codes, as the help shows them. A terminal of 80 columns would break a longer line without its indentation.
pub const EXIT_CODES: &str = "\
Exit codes:
    0  success
    1  the server refused, or the command was done only in part
    2  the command line is wrong
    3  there is no connection to the server; `doctor` finds out why
    4  a time limit has passed: not ready, or no answer; the message says which
  130  interrupted by Ctrl-C; the message says what was done";

/// The hidden command with which the scripts of shells ask for a completion, as in programs that use cobra.
const COMPLETE: &str = "__complete";

/// The end of the program's help, with the path of this machine's configuration file.
fn after_help() -> String {
    let shown = |path: Option<PathBuf>| {
        path.map_or_else(|| "none on this machine,".to_owned(), |path| path.display().to_string())
    };
    format!(
        "{EXIT_CODES}\n\nConfiguration:\n  File:  {}\n         or the one that {PATH_VARIABLE} names\n\n  For each \
         context it says how to reach the server. Flags and environment variables override it:\n{}\n\nLog of your \
         last 100 commands that changed something, for undo:\n  File:  {}\n         or the one that {} names",
        shown(default_path()),
        example("my-context"),
        shown(location::default_path()),
        location::PATH_VARIABLE
    )
}

/// Set replica counts that stay set, and see who tried to change them
#[derive(Debug, Parser)]
#[command(name = "kubectl-replicas", bin_name = program::name(), version, after_help = after_help(), propagate_version = false)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(ListArgs),
    Get(GetArgs),
    Set(SetArgs),
    Unset(UnsetArgs),
    Undo(UndoArgs),
    Adopt(AdoptArgs),
    Wait(WaitArgs),
    History(HistoryArgs),
    Blame(BlameArgs),
    Explain(ExplainArgs),
    Export(ExportArgs),
    Login(LoginArgs),
    Logout(LogoutArgs),
    Whoami(WhoamiArgs),
    Config(ConfigArgs),
    Doctor(DoctorArgs),
    Completion(CompletionArgs),
    Version(VersionArgs),
    Options(OptionsArgs),
}

/// The command line, to generate help, man pages and completion from.
pub fn command() -> clap::Command {
    help::of_program(Cli::command(), EXAMPLES)
}

/// Runs the command that the arguments name, and reports its failure.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    if let Some(words) = words_to_complete(&arguments) {
        // The shell shows nothing if this fails.
        let _ = output::print_document(&completion::answer(command(), words));
        return Exit::Success.into();
    }
    let program = command();
    let matches = flags::settle(&program, &arguments).and_then(|words| program.try_get_matches_from(words));
    let cli = match matches.and_then(|matches| read(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            color::choose(color::of_arguments(&arguments));
            return show(&error, &arguments);
        }
    };
    color::choose(cli.connection.color);
    trace::start(cli.connection.verbosity);
    program::choose(cli.connection.kube.choice());
    match run_command(cli) {
        Ok(()) => Exit::Success.into(),
        Err(error) => error::report(&error).into(),
    }
}

/// Reads the arguments, and which of them were given.
fn read(matches: &ArgMatches) -> Result<Cli, clap::Error> {
    let mut cli = Cli::from_arg_matches(matches)?;
    let source = matches.value_source("request_timeout");
    cli.connection.has_request_timeout = source == Some(ValueSource::CommandLine);
    Ok(cli)
}

/// The words up to the cursor, if kubectl or the script of a shell asks for a completion.
fn words_to_complete(arguments: &[OsString]) -> Option<&[OsString]> {
    match arguments {
        [_, words @ ..] if program::is_completer() => Some(words),
        [_, command, words @ ..] if command == COMPLETE => Some(words),
        _ => None,
    }
}

/// Shows help, or what is wrong with the arguments.
fn show(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if matches!(error.exit_code(), 0) || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // A reader that has closed the output has seen enough.
        let _ = output::print_help(&error.render(), error.use_stderr());
        return if error.use_stderr() { Exit::Usage } else { Exit::Success }.into();
    }
    output::note(&usage_error::explain(&error.render().to_string(), &named_command(arguments)));
    Exit::Usage.into()
}

/// The command that the arguments name, such as `kubectl replicas config set`.
fn named_command(arguments: &[OsString]) -> String {
    let (mut name, mut command) = (program::name().to_owned(), command());
    for word in arguments.iter().skip(1).filter_map(|argument| argument.to_str()) {
        if let Some(found) = command.find_subcommand(word).cloned() {
            name = format!("{name} {word}");
            command = found;
        }
    }
    name
}

/// Runs a command. It builds a runtime only for commands that need one, since that is most of the start-up time.
fn run_command(Cli { command, connection }: Cli) -> Result<(), Error> {
    match command {
        Command::Version(args) if args.client => version::run_client(&args),
        Command::Logout(args) => logout::run(&args, &connection),
        Command::Completion(args) => completion_command::run(&args),
        Command::Options(_) => options::run(),
        command => {
            let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
            let result = runtime.block_on(interrupt::listen(run_async(command, &connection)));
            runtime.block_on(session::close());
            // Do not wait for a host name look-up that hangs in the system.
            runtime.shutdown_background();
            result
        }
    }
}

async fn run_async(command: Command, connection: &ConnectionArgs) -> Result<(), Error> {
    let unchanged = "nothing was changed";
    match command {
        // These change the cluster. They guard themselves, so that they can say what they have done.
        Command::Set(args) => set::run(args, connection).await,
        Command::Unset(args) => unset::run(args, connection).await,
        Command::Undo(args) => undo::run(args, connection).await,
        Command::Adopt(args) => adopt::run(args, connection).await,
        Command::Login(args) => login::run(args, connection).await,
        Command::List(args) if args.watch => guard_watch(list::run(args, connection)).await,
        // It says what it waited for.
        Command::Wait(args) => wait::run(args, connection).await,
        Command::List(args) => guard(unchanged, list::run(args, connection)).await,
        Command::Get(args) if args.watch => guard_watch(get::run(args, connection)).await,
        Command::Get(args) => guard(unchanged, get::run(args, connection)).await,
        Command::History(args) => guard(unchanged, history::run(args, connection)).await,
        Command::Blame(args) => guard(unchanged, blame::run(args, connection)).await,
        Command::Explain(args) => guard(unchanged, explain::run(args, connection)).await,
        Command::Export(args) => guard(unchanged, export::run(args, connection)).await,
        Command::Logout(args) => logout::run(&args, connection),
        Command::Whoami(args) => guard(unchanged, whoami::run(args, connection)).await,
        Command::Config(args) => guard(unchanged, config::run(args, connection)).await,
        Command::Doctor(args) => guard(unchanged, doctor::run(args, connection)).await,
        Command::Version(args) => guard(unchanged, version::run(&args, connection)).await,
        Command::Completion(args) => completion_command::run(&args),
        Command::Options(_) => options::run(),
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn connection<'a>(words: impl IntoIterator<Item = &'a str>) -> ConnectionArgs {
        Cli::try_parse_from(["kubectl-replicas"].into_iter().chain(words)).unwrap().connection
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn connection_flags_are_accepted_after_the_command() {
        let connection = connection(["list", "-n", "shop", "--request-timeout", "0"]);
        assert_eq!(connection.kube.namespace.as_deref(), Some("shop"));
        assert_eq!(connection.request_timeout, Duration::MAX);
    }

    #[test]
    fn a_limit_that_the_user_chooses_is_known_to_be_chosen() {
        for (line, expected) in [
            ("list", false),
            ("list --request-timeout 30s", true),
            ("--request-timeout 30s list", true),
            ("get web --request-timeout=0", true),
        ] {
            let words = ["kubectl-replicas"].into_iter().chain(line.split(' '));
            let cli = read(&command().try_get_matches_from(words).unwrap()).unwrap();
            assert_eq!(cli.connection.has_request_timeout, expected, "{line}");
        }
    }

    #[test]
    fn an_empty_flag_counts_as_absent() {
        let flags = ["-n", "--kubeconfig", "--context", "--cluster", "--user", "--address", "--ca", "--server-name"];
        let words = flags.iter().flat_map(|flag| [*flag, ""]);
        let ConnectionArgs { kube, server, .. } = connection(["list"].into_iter().chain(words));
        assert_eq!((kube.namespace, kube.context, kube.cluster, kube.user), (None, None, None, None));
        assert_eq!((kube.kubeconfig, server.address, server.ca, server.server_name), (None, None, None, None));
    }

    #[test]
    fn a_flag_counts_before_and_after_the_command() {
        for words in [["--ca", "ca.crt", "list"], ["list", "--ca", "ca.crt"]] {
            assert_eq!(connection(words).server.ca, Some("ca.crt".into()));
        }
    }

    #[test]
    fn the_help_has_examples_first_and_no_shared_flags() {
        for name in [
            "", "list", "set", "unset", "get", "wait", "history", "blame", "explain", "export", "doctor", "adopt",
            "undo",
        ] {
            let program = command();
            let mut command = program.find_subcommand(name).unwrap_or(&program).clone();
            for help in [command.render_help().to_string(), command.render_long_help().to_string()] {
                let at = |part: &str| help.find(part).unwrap_or_else(|| panic!("{part:?} is missing in {help}"));
                assert!(at("Examples:") < at("Usage:") && at("Usage:") < at("Options:"), "{help}");
                assert!(help.contains("kubectl replicas options") && !help.contains("--kubeconfig"), "{help}");
            }
        }
    }

    #[test]
    fn no_exit_code_is_wrapped_on_a_terminal() {
        let long = EXIT_CODES.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None);
    }

    #[test]
    fn the_help_names_the_configuration_file() {
        let help = command().render_long_help().to_string();
        for part in [
            "KUBECTL_REPLICAS_STATE",
            "KUBECTL_REPLICAS_CONFIG",
            "config.yaml",
            "environment variables override",
            "my-context:",
        ] {
            assert!(help.contains(part), "{part:?} is missing in {help}");
        }
    }
}
