//! `kubectl replicas get`.

use clap::Args;
use contract::replicas::v1::{ReplicaCount, WatchReplicaCountsRequest};
use jiff::Timestamp;

use super::{
    batch,
    connect::connect,
    contexts::{self, ContextsArgs},
    resolve,
    selection::{self, Found},
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

  # Describe two targets, one below the other
  kubectl replicas get web sts/db

  # Watch one, with a row for each change
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
    /// Show these targets: web, deploy/web, sts db
    #[arg(value_name = "TARGET", required = true)]
    words: Vec<String>,
    /// Print them in this format instead of descriptions
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
    /// Print a row for each, and another one whenever one of them changes, until Ctrl-C
    #[arg(short, long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    contexts: ContextsArgs,
}

/// Shows the replica counts.
pub(crate) async fn run(args: GetArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let targets = words::parse_shown(&args.words)?;
    if let Some(patterns) = &args.contexts.contexts {
        return get_contexts(&args, patterns, connection, &targets).await;
    }
    let session = connect(connection).await?;
    let Found { counts, failures } = find(&session, &args, &targets).await?;
    let result = batch::finish(failures.report(), targets.len(), "read");
    if counts.is_empty() {
        return result;
    }
    if args.watch {
        return watch(&session, connection, &counts, args.output.unwrap_or_default()).await;
    }
    show(counts, targets.len() == 1, args.output)?;
    result
}

/// Reads the targets in a cluster.
async fn find(session: &Session, args: &GetArgs, targets: &[TargetRef]) -> Result<Found, Error> {
    resolve::check_first_word(session, &args.words).await?;
    selection::get_each(session, targets, true).await
}

/// Shows the replica counts. The document of a single target that the user names is no list.
fn show(counts: Vec<ReplicaCount>, is_single: bool, format: Option<Format>) -> Result<(), Error> {
    let format = match format {
        None => return Ok(output::print(&describe_each(&counts, Timestamp::now()))?),
        Some(format @ (Format::Table | Format::Wide)) => {
            let columns =
                Columns { wide: format == Format::Wide, width: output::terminal_width(), ..Columns::default() };
            return Ok(output::print_table(&table::replica_counts(&counts, columns, Timestamp::now()))?);
        }
        Some(Format::Name) => {
            let targets = counts.iter().filter_map(|count| count.target.as_ref());
            let names: String = targets.map(|target| output::printable(&target::name(target)) + "\n").collect();
            return Ok(output::print(&names)?);
        }
        Some(Format::Json) => DocumentFormat::Json,
        Some(Format::Yaml) => DocumentFormat::Yaml,
    };
    let document = match is_single {
        true => output::serialize(&counts.into_iter().map(document::one).next(), format)?,
        false => output::serialize(&document::list(counts), format)?,
    };
    Ok(output::print_document(&document)?)
}

fn describe_each(counts: &[ReplicaCount], now: Timestamp) -> String {
    counts.iter().map(|count| output::describe(count, now)).collect::<Vec<_>>().join("\n")
}

/// Watches targets that are there now.
async fn watch(
    session: &Session,
    connection: &ConnectionArgs,
    counts: &[ReplicaCount],
    format: Format,
) -> Result<(), Error> {
    let target = counts.first().and_then(|count| count.target.clone()).unwrap_or_default();
    let (shown, all_targets) = watch::of_named(counts);
    let empty = match counts {
        [_] => format!("{} is gone.", target::name(&target)),
        _ => "All of them are gone.".to_owned(),
    };
    let request =
        WatchReplicaCountsRequest { namespace: target.namespace, all_targets, ..WatchReplicaCountsRequest::default() };
    watch::run(session, connection, Watch { request, shown, format, empty }).await
}

/// Shows the targets in several clusters.
async fn get_contexts(
    args: &GetArgs,
    patterns: &ContextPatterns,
    connection: &ConnectionArgs,
    targets: &[TargetRef],
) -> Result<(), Error> {
    let find = async |session: &Session| find(session, args, targets).await;
    let mut answers = contexts::ask(patterns, connection, find).await?;
    let counts = answers.take_counts();
    match args.output {
        Some(format) if !counts.is_empty() || matches!(format, Format::Json | Format::Yaml) => {
            contexts::show(counts, false, format)?;
        }
        Some(_) => {}
        None => output::print(&describe_all(&counts, Timestamp::now()))?,
    }
    answers.finish()
}

/// Describes the targets in each cluster.
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

    #[test]
    fn the_descriptions_of_several_targets_have_a_blank_line_between_them() {
        let counts = [ReplicaCount::default(), ReplicaCount::default()];
        let text = describe_each(&counts, Timestamp::UNIX_EPOCH);
        assert_eq!((text.matches("Target:          ").count(), text.matches("\n\nTarget:").count()), (2, 1), "{text}");
    }
}
