//! `replica-count-manager`: parses the settings, then runs the server or checks another one.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
use dlmalloc::GlobalDlmalloc;
use replica_count_manager::{
    args::{Args, Command},
    check,
    run::Server,
    runtime::shutdown::Signals,
    telemetry::{self, LogFormat},
};
use tokio_util::sync::CancellationToken;
use tracing::{dispatcher, error};

/// With the allocator of musl, to which releases are linked, lists take twice as long. mimalloc is faster, but holds a third
/// more memory.
#[global_allocator]
static ALLOCATOR: GlobalDlmalloc = GlobalDlmalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    let in_json = args.command.is_none() && args.log_format == LogFormat::Json;
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With a bad LOG_LEVEL there is no log to write to.
            if in_json && dispatcher::has_been_set() {
                error!(error = format!("{error:#}"), "failed");
            } else {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<(), anyhow::Error> {
    telemetry::init_log(&args.log_level, args.log_format)
        .with_context(|| format!("failed to use LOG_LEVEL {:?}", args.log_level))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("failed to start")?;
    runtime.block_on(async {
        match args.command.clone() {
            Some(Command::Check(check)) => check::run(check, &args.files).await,
            None => serve(args).await,
        }
    })
}

/// Serves until the first signal, which stops in order; a second one stops at once.
async fn serve(args: Args) -> Result<(), anyhow::Error> {
    let mut signals = Signals::listen().context("failed to listen for signals")?;
    let server = Server::bind(args).await?;
    let stop = CancellationToken::new();
    let signalled = async {
        signals.next().await;
        stop.cancel();
        signals.next().await;
    };
    tokio::select! {
        done = server.run(stop.cancelled()) => done,
        () = signalled => bail!("stopped by a second signal, without waiting for open calls"),
    }
}
