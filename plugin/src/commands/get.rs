//! `kubectl replicas get`.

use clap::Args;
use contract::replicas::v1::{ReplicaCount, WatchReplicaCountsRequest};
use jiff::Timestamp;

use super::{
    connect::connect,
    contexts::{self, ContextsArgs},
    resolve,
    watch::{self, Watch},
};
use crate::{
    args::ConnectionArgs,
    context_pattern::ContextPatterns,
    error::Error,
    output::{
        self, DocumentFormat, Format, document,
        table::{self, Columns},
    },
    program::in_text,
    session::Session,
    target::{self, TargetRef},
    words,
};

const EXAMPLES: &str = "\
Examples:
  # Describe the replica count of the Deployment web
  kubectl replicas get web

  # Watch it, with a row for each change
  kubectl replicas get web -w

  # Compare it in several clusters
  kubectl replicas get web -n shop --contexts 'prod-*' -o table

  # Print the desired count, for a script
  kubectl replicas get sts/db -o json | jq .desired";

/// Show the replica count of a target, with its status and history
///
/// A target that is not managed is shown with the count that it has.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES))]
pub(crate) struct GetArgs {
    /// Show this target: web, deploy/web, sts db
    #[arg(value_name = "TARGET", required = true, num_args = 1..=2)]
    words: Vec<String>,
    /// Print it in this format instead of a description
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
    /// Print a row, and another one whenever the target changes, until Ctrl-C
    #[arg(short, long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    contexts: ContextsArgs,
}

/// Shows the replica count.
pub(crate) async fn run(args: GetArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let target = words::parse_single(&args.words)?;
    if let Some(patterns) = &args.contexts.contexts {
        return get_contexts(&args, patterns, connection, &target).await;
    }
    let session = connect(connection).await?;
    let count = resolve::read_named(&session, &target).await?;
    if args.watch {
        return watch(&session, connection, &count, args.output.unwrap_or_default()).await;
    }
    let columns =
        Columns { wide: args.output == Some(Format::Wide), width: output::terminal_width(), ..Columns::default() };
    let text = match args.output {
        None => output::describe(&count, Timestamp::now()),
        Some(Format::Table | Format::Wide) => {
            return Ok(output::print_table(&table::replica_counts(&[count], columns, Timestamp::now()))?);
        }
        Some(Format::Name) => output::printable(&target::name(&count.target.unwrap_or_default())) + "\n",
        Some(Format::Json) => return print_document(count, DocumentFormat::Json),
        Some(Format::Yaml) => return print_document(count, DocumentFormat::Yaml),
    };
    Ok(output::print(&text)?)
}

fn print_document(count: ReplicaCount, format: DocumentFormat) -> Result<(), Error> {
    Ok(output::print_document(&output::serialize(&document::one(count), format)?)?)
}

/// Watches the target, which is there now.
async fn watch(
    session: &Session,
    connection: &ConnectionArgs,
    count: &ReplicaCount,
    format: Format,
) -> Result<(), Error> {
    let target = count.target.clone().unwrap_or_default();
    let (shown, all_targets) = watch::of_named(std::slice::from_ref(count));
    let empty = format!("{} is gone.", target::name(&target));
    let request =
        WatchReplicaCountsRequest { namespace: target.namespace, all_targets, ..WatchReplicaCountsRequest::default() };
    watch::run(session, connection, Watch { request, shown, format, empty }).await
}

/// Shows the target in several clusters.
async fn get_contexts(
    args: &GetArgs,
    patterns: &ContextPatterns,
    connection: &ConnectionArgs,
    target: &TargetRef,
) -> Result<(), Error> {
    let get = async |session: &Session| resolve::read_named(session, target).await;
    let mut answers = contexts::ask(patterns, connection, get).await?;
    let counts = std::mem::take(&mut answers.answers);
    match args.output {
        Some(format) if !counts.is_empty() || matches!(format, Format::Json | Format::Yaml) => {
            contexts::show(counts, false, format)?;
        }
        Some(_) => {}
        None => output::print(&describe_all(&counts, Timestamp::now()))?,
    }
    answers.finish()
}

/// Describes the target in each cluster.
fn describe_all(counts: &[(String, ReplicaCount)], now: Timestamp) -> String {
    let describe = |(context, count): &(String, ReplicaCount)| {
        format!("Cluster:         {}\n{}", output::printable(context), output::describe(count, now))
    };
    counts.iter().map(describe).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_of_several_clusters_begins_with_the_cluster() {
        let counts = ["a", "b"].map(|context| (context.to_owned(), ReplicaCount::default()));
        let text = describe_all(&counts, Timestamp::UNIX_EPOCH);
        assert!(text.starts_with("Cluster:         a\nTarget:          "), "{text}");
        assert_eq!(text.matches("\n\nCluster:         b\n").count(), 1, "{text}");
    }
}
