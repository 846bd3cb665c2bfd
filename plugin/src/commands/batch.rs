//! Requests for several targets. A failure of one does not stop the others.

use std::{cell::Cell, pin::pin, time::Duration};

use futures::{StreamExt, future, stream};
use tokio::time::{Instant, sleep_until};

use crate::{
    error::{Error, explain, explain_for, explain_in},
    interrupt, kubernetes,
    output::{self, Lines},
    target,
};

/// The number of concurrent requests: enough to hide the round trips, and too few to overload a server.
pub(super) const AT_ONCE: usize = 8;

/// How long a command waits after Ctrl-C for open requests, so that it can say exactly what was done. People press
/// Ctrl-C again after about a second.
const GRACE: Duration = Duration::from_secs(1);

/// The most targets that an account names: more do not fit on a screen.
const MAX_NAMED: usize = 20;

/// Sends the requests, prints a line for each success, reports each failure, and returns the values of the successes.
///
/// The results come in the order of the requests. The error of a single request becomes the error of the command. When
/// the connection is lost or the user presses Ctrl-C, it sends no more requests, but waits for those under way and
/// shows their results.
pub(super) async fn run<R, T, F: Future<Output = Result<(String, T), Error>>>(
    lines: &mut Lines,
    requests: Vec<(String, R)>,
    done: &'static str,
    send: impl Fn(R) -> F,
) -> (Vec<T>, Result<(), Error>) {
    let (names, requests): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
    let (is_over, sent) = (Cell::new(false), Cell::new(0));
    let requests = stream::iter(requests).take_while(|_| future::ready(!is_over.get()));
    let send = |request| {
        sent.set(sent.get() + 1);
        send(request)
    };
    let mut results = pin!(requests.map(send).buffered(AT_ONCE).enumerate());
    let mut values = Vec::with_capacity(names.len());
    let (mut failures, mut end, mut answered) = (Failures::default(), None, 0);
    let mut interrupt = Interrupt::new();
    loop {
        let next = tokio::select! {
            biased;
            next = results.next() => next,
            is_last = interrupt.next() => {
                is_over.set(true);
                if is_last { break } else { continue }
            }
        };
        let Some((index, result)) = next else { break };
        answered = index + 1;
        match result {
            Ok((line, value)) => {
                values.push(value);
                lines.print(&line);
            }
            Err(error) if names.len() == 1 || is_of_connection(&error) => {
                is_over.set(true);
                end.get_or_insert(error);
            }
            Err(error) => failures.add(&names[index], error),
        }
    }
    let failed = failures.report();
    if interrupt.was_pressed() && (end.is_none() && answered < names.len()) {
        let account = Account { names: &names, done, set: values.len(), answered, sent: sent.get() };
        return (values, Err(Error::Interrupted { account: account.describe() }));
    }
    let result = end.map_or_else(|| finish(failed, names.len(), done), Err);
    (values, result)
}

/// Waits for Ctrl-C. After the first, no request is sent. After the second, or after [`GRACE`], the command stops.
struct Interrupt {
    grace_ends: Option<Instant>,
}

impl Interrupt {
    fn new() -> Self {
        Self { grace_ends: None }
    }

    fn was_pressed(&self) -> bool {
        self.grace_ends.is_some()
    }

    /// Waits for the next Ctrl-C, or for the end of [`GRACE`]. Returns whether the command has to stop.
    async fn next(&mut self) -> bool {
        match self.grace_ends {
            None => {
                interrupt::pressed().await;
                self.grace_ends = Some(Instant::now() + GRACE);
                false
            }
            Some(end) => {
                tokio::select! { () = interrupt::pressed() => {} () = sleep_until(end) => {} }
                true
            }
        }
    }
}

/// What an interrupted command has done.
struct Account<'a> {
    names: &'a [String],
    done: &'static str,
    /// The number of successes.
    set: usize,
    /// The number of requests with an answer. The answers come in the order of the requests.
    answered: usize,
    /// The number of requests that were sent.
    sent: usize,
}

impl Account<'_> {
    fn describe(&self) -> String {
        let Self { names, done, set, answered, sent } = self;
        let mut text = format!("{set} of {} targets were {done}", names.len());
        for (what, some) in [
            (format!("may have been {done}, or not"), &names[*answered..*sent]),
            (format!("not {done}"), &names[*sent..]),
        ] {
            if !some.is_empty() {
                text += &format!("\n{what}: {}", enumerate(some));
            }
        }
        text
    }
}

/// Lists names, up to [`MAX_NAMED`].
pub(super) fn enumerate(names: &[String]) -> String {
    match names.split_at_checked(MAX_NAMED) {
        Some((some, rest)) if !rest.is_empty() => format!("{} and {} more", some.join(", "), rest.len()),
        _ => names.join(", "),
    }
}

/// The failures of some of several targets or contexts. Those with the same message are reported together.
pub(super) struct Failures {
    /// What the names are.
    what: &'static str,
    groups: Vec<Group>,
}

/// Failures of targets.
impl Default for Failures {
    fn default() -> Self {
        Self { what: TARGETS, groups: Vec::new() }
    }
}

/// What the names of failures usually are.
const TARGETS: &str = "targets";

struct Group {
    /// The message, with a placeholder for the target.
    key: String,
    error: Error,
    names: Vec<String>,
    /// The contexts of the failures, if they are of contexts or of targets in them.
    contexts: Vec<String>,
}

impl Group {
    /// The message with its names. The commands of its hint choose the context, if there is one.
    fn explain(&self, what: &str) -> String {
        let context = match self.contexts.as_slice() {
            [] => None,
            [context] => Some(context.as_str()),
            _ => Some("NAME"),
        };
        match (self.names.as_slice(), context) {
            ([name], None) => explain_one(name, &self.error),
            ([name], Some(context)) => explain_in(context, &format!("error: {name}"), &self.error),
            (names, context) => explain_for(&self.error, what, &enumerate(names), context),
        }
    }
}

impl Failures {
    /// Failures of contexts, and of targets in them.
    pub(super) const fn of_contexts() -> Self {
        Self { what: "contexts", groups: Vec::new() }
    }

    /// Adds the failures of targets in a context.
    pub(super) fn add_all(&mut self, context: &str, failures: Self) {
        for Group { key, error, names, .. } in failures.groups {
            let names = names.into_iter().map(|name| format!("{context}: {name}")).collect();
            self.add_group(Group { key, error, names, contexts: vec![context.to_owned()] });
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Adds the failure of a target or a context.
    pub(super) fn add(&mut self, name: &str, error: Error) {
        let (key, names) = (generalise(&explain("", &error), name), vec![name.to_owned()]);
        let contexts = if self.what == TARGETS { Vec::new() } else { names.clone() };
        self.add_group(Group { key, error, names, contexts });
    }

    /// Adds failures with one message.
    fn add_group(&mut self, added: Group) {
        match self.groups.iter_mut().find(|group| group.key == added.key) {
            Some(group) => {
                group.names.extend(added.names);
                group.contexts.extend(added.contexts);
            }
            None => self.groups.push(added),
        }
    }

    /// Reports each message once, with its names, and returns the number of names.
    pub(super) fn report(self) -> usize {
        self.groups.iter().for_each(|group| output::note(&group.explain(self.what)));
        self.groups.iter().map(|group| group.names.len()).sum()
    }
}

/// Replaces what names a target in a message: `deployment.apps/web`, `"deployment.web"`.
fn generalise(message: &str, name: &str) -> String {
    let (kind, object) = name.split_once('/').unwrap_or(("", name));
    let stored = format!("\"{}.{object}\"", kind.trim_end_matches(".apps"));
    // The kind keeps targets of different kinds apart.
    message.replace(name, kind).replace(&target::arguments(name), kind).replace(&stored, kind)
}

/// Reports the failure of one of several targets.
pub(super) fn report(name: &str, error: &Error) {
    output::note(&explain_one(name, error));
}

fn explain_one(name: &str, error: &Error) -> String {
    let has_name = error.to_string().contains(name);
    let subject = if has_name { "error".to_owned() } else { format!("error: {name}") };
    explain(&subject, error)
}

/// Whether the connection is lost, so that no other request can succeed.
pub(super) fn is_of_connection(error: &Error) -> bool {
    match error {
        Error::Call(error) => error.is_of_connection(),
        Error::Kubernetes(error) if is_of_kind(error) => false,
        error => matches!(error, Error::Kubernetes(_) | Error::Credentials(_) | Error::Session(_)),
    }
}

/// Whether one kind is unknown, so that requests for other kinds can succeed.
pub(super) fn is_of_kind(error: &kubernetes::Error) -> bool {
    matches!(error, kubernetes::Error::NoResource { .. } | kubernetes::Error::NoDiscovery { .. })
}

/// The result of a command for several targets.
pub(super) fn finish(failed: usize, all: usize, done: &'static str) -> Result<(), Error> {
    match failed {
        0 => Ok(()),
        failed => Err(Error::Incomplete { failed, all, done }),
    }
}

#[cfg(test)]
mod tests;
