//! `--contexts` of `list` and `get`: the clusters of several contexts, asked at once.

use std::{collections::BTreeSet, time::Duration};

use clap::Args;
use contract::replicas::v1::ReplicaCount;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use tokio::time;

use super::{batch::Failures, connect::connect_to, selection::Found};
use crate::{
    args::{ConnectionArgs, Given, given},
    context_pattern::{self, ContextPatterns},
    error::Error,
    kubernetes::{self, Cluster, Contexts},
    output::{
        self, DocumentFormat, Format, document,
        table::{self, Columns},
    },
    program::quote,
    session::{CallError, Connections, Session},
    target,
};

/// The number of clusters that are asked at once: enough for most kubeconfigs, and each takes a few open files.
const AT_ONCE: usize = 32;

/// The limit of a cluster unless the user chooses one, so that one that hangs does not keep people waiting for the
/// others: all that answer are shown within 3 s.
const LIMIT: Duration = Duration::from_millis(2500);

/// How much later a cluster is given up than a single request to it, whose error says more.
const GRACE: Duration = Duration::from_millis(250);

/// The flag that chooses contexts.
#[derive(Debug, Args)]
pub(super) struct ContextsArgs {
    /// Ask the clusters of all contexts that match, such as 'prod-*' or 'a,b'; each may take 2.5s, unless you give
    /// --request-timeout
    #[arg(long, value_name = "PATTERN", conflicts_with = "watch")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given::<ContextPatterns>)]
    pub(super) contexts: Given<ContextPatterns>,
}

/// The answers of the clusters.
pub(super) struct Answers<T> {
    /// Each with its context, in the order of the contexts' names.
    answers: Vec<(String, T)>,
    failures: Failures,
    /// The contexts with a failure.
    failed: BTreeSet<String>,
    all: usize,
}

/// Asks the cluster of each context that matches. A failure of one does not stop the others.
pub(super) async fn ask<T>(
    patterns: &ContextPatterns,
    connection: &ConnectionArgs,
    ask: impl AsyncFn(&Session) -> Result<T, Error>,
) -> Result<Answers<T>, Error> {
    check(connection)?;
    let contexts = Contexts::load(&connection.kube).map_err(kubernetes::Error::from)?;
    let names = patterns.choose(contexts.names())?;
    let limit = if connection.has_request_timeout { connection.request_timeout } else { LIMIT };
    let connection = &ConnectionArgs { request_timeout: limit, ..connection.clone() };
    // Several programs cannot ask questions on one terminal.
    let may_ask = names.len() == 1;
    let (contexts, connections, ask) = (&contexts, &Connections::default(), &ask);
    let ask_one = |name: String| async move {
        let answer = async {
            let cluster = Cluster::of_context(contexts, &name, may_ask)?;
            ask(&connect_to(cluster, connection, connections).await?.0).await
        };
        let timed_out = |_| Err(CallError::TimedOut { limit }.into());
        let answer = time::timeout(limit.saturating_add(GRACE), answer).await.unwrap_or_else(timed_out);
        (name, answer)
    };
    let all = names.len();
    // Not in order: one that hangs must not delay the start of the next one.
    let mut results: Vec<_> = stream::iter(names).map(ask_one).buffer_unordered(AT_ONCE).collect().await;
    results.sort_by(|(one, _), (other, _)| one.cmp(other));
    let (mut answers, mut failures, mut failed) = (Vec::new(), Failures::of_contexts(), BTreeSet::new());
    for (name, result) in results {
        match result {
            Ok(answer) => answers.push((name, answer)),
            Err(error) => {
                failures.add(&name, error);
                failed.insert(name);
            }
        }
    }
    Ok(Answers { answers, failures, failed, all })
}

/// Refuses flags that are about one cluster. Each API server could use the token on the others.
fn check(connection: &ConnectionArgs) -> Result<(), Error> {
    let ConnectionArgs { kube, server, .. } = connection;
    let flags = [
        (kube.context.is_some(), "--context"),
        (kube.cluster.is_some(), "--cluster"),
        (kube.overrides.server.is_some(), "--server"),
        (kube.overrides.tls_server_name.is_some(), "--tls-server-name"),
        (kube.overrides.token.is_some(), "--token"),
        (server.address.is_some(), "--address (KUBECTL_REPLICAS_ADDRESS)"),
    ];
    match flags.into_iter().find(|(is_given, _)| *is_given) {
        Some((_, flag)) => Err(context_pattern::Error::With { flag }.into()),
        None => Ok(()),
    }
}

impl<T> Answers<T> {
    /// Whether nothing has failed.
    pub(super) fn is_complete(&self) -> bool {
        self.failed.is_empty()
    }

    /// Reports what failed.
    pub(super) fn finish(self) -> Result<(), Error> {
        self.failures.report();
        match self.failed.len() {
            0 => Ok(()),
            failed => Err(Error::IncompleteContexts { failed, all: self.all }),
        }
    }
}

impl Answers<Found> {
    /// Takes the replica counts, each with its context, and adds the failures of single targets to those of contexts.
    pub(super) fn take_counts(&mut self) -> Vec<(String, ReplicaCount)> {
        let mut counts = Vec::new();
        for (context, Found { counts: found, failures }) in std::mem::take(&mut self.answers) {
            if !failures.is_empty() {
                self.failures.add_all(&context, failures);
                self.failed.insert(context.clone());
            }
            counts.extend(found.into_iter().map(|count| (context.clone(), count)));
        }
        counts
    }
}

/// Prints replica counts, each with its context, and with its namespace if that is asked for.
pub(super) fn show(counts: Vec<(String, ReplicaCount)>, namespace: bool, format: Format) -> Result<(), Error> {
    let document = match format {
        Format::Table | Format::Wide => {
            let (wide, width) = (format == Format::Wide, output::terminal_width());
            let columns = Columns { cluster: true, namespace, wide, width };
            return Ok(output::print_table(&table::of_contexts(&counts, columns, Timestamp::now()))?);
        }
        Format::Name => return Ok(output::print(&names(&counts, namespace))?),
        Format::Json => output::serialize(&document::of_contexts(counts), DocumentFormat::Json)?,
        Format::Yaml => output::serialize(&document::of_contexts(counts), DocumentFormat::Yaml)?,
    };
    Ok(output::print_document(&document)?)
}

/// The names with the flags that choose the cluster and perhaps the namespace, as commands accept them.
fn names(counts: &[(String, ReplicaCount)], namespace: bool) -> String {
    let name = |(context, count): &(String, ReplicaCount)| {
        let target = count.target.clone().unwrap_or_default();
        let name = if namespace { target::with_flag(&target) } else { target::name(&target) };
        format!("--context={} {}\n", quote(&output::printable(context)), output::printable(&name))
    };
    counts.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use contract::replicas::v1::Target;

    use super::*;

    #[test]
    fn a_name_comes_with_the_flags_of_its_context_and_its_namespace() {
        let target = Target { namespace: "shop".to_owned(), name: "web".to_owned(), ..Target::default() };
        let count = ReplicaCount { target: Some(target), ..ReplicaCount::default() };
        for (name, context, namespace, expected) in [
            ("one namespace", "prod-1", false, "--context=prod-1 deployment.apps/web\n"),
            ("all namespaces", "prod-1", true, "--context=prod-1 --namespace=shop deployment.apps/web\n"),
            ("a context of two words", "my prod", false, "--context='my prod' deployment.apps/web\n"),
        ] {
            assert_eq!(names(&[(context.to_owned(), count.clone())], namespace), expected, "{name}");
        }
    }
}
