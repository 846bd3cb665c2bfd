//! Follows changes of replica counts: a watch that goes on, through another pod if needed, when it ends.

use std::{pin::Pin, time::Duration};

use contract::replicas::v1::{
    ReplicaCount, WatchReplicaCountsRequest, WatchReplicaCountsResponse, watch_replica_counts_response::Event,
};
use futures::{FutureExt, future::BoxFuture};
use tokio::time::{self, Instant, Sleep};
use tonic::{Status, Streaming};

use super::connect::connect;
use crate::{
    args::ConnectionArgs,
    error::Error,
    session::{CallError, Client, Session, explain, is_temporary},
};

/// The first pause before another watch. It doubles up to [`MAX_PAUSE`], so that a server that is away for long is not
/// asked all the time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// One step of a follower.
pub(super) enum Step {
    /// A watch has begun, and sends a snapshot first. The one before may have missed the end of a target.
    Started,
    Event(Event),
    /// The watch has ended, or could not begin. The next step tries again.
    Lost(Error),
}

/// Follows the changes that a request covers.
pub(super) struct Follower<'a> {
    connection: &'a ConnectionArgs,
    client: Client,
    request: WatchReplicaCountsRequest,
    /// The limit of each answer that is due: the beginning of a watch, and the next message of its snapshot.
    limit: Duration,
    state: State<'a>,
    pause: Duration,
    /// When the current watch began.
    started: Instant,
    /// Whether the snapshot of the current watch is complete.
    is_synced: bool,
    /// Whether there was a watch at all.
    has_begun: bool,
    /// Whether the session was opened again since the last snapshot.
    is_reopened: bool,
    /// Whether the next try opens the session again, since the last one could not.
    must_reopen: bool,
}

enum State<'a> {
    Starting(BoxFuture<'static, Result<Streaming<WatchReplicaCountsResponse>, End>>),
    Receiving(Box<Streaming<WatchReplicaCountsResponse>>),
    Pausing(Pin<Box<Sleep>>),
    /// Opens another session, with new credentials.
    Reopening(Pin<Box<dyn Future<Output = Result<Session, Error>> + 'a>>),
}

/// The end of a watch.
struct End {
    error: CallError,
    is_temporary: bool,
}

impl End {
    fn new(status: Status) -> Self {
        Self { is_temporary: is_temporary(&status), error: explain(status) }
    }

    /// No answer came in time. The next pod may answer.
    const fn timed_out(limit: Duration) -> Self {
        Self { error: CallError::TimedOut { limit }, is_temporary: true }
    }
}

impl<'a> Follower<'a> {
    /// Prepares to follow the changes, with the connection of the session.
    pub(super) fn new(session: &Session, connection: &'a ConnectionArgs, request: WatchReplicaCountsRequest) -> Self {
        let client = session.client.clone();
        let limit = connection.request_timeout;
        Self {
            state: start(client.clone(), request.clone(), limit),
            connection,
            client,
            request,
            limit,
            pause: FIRST_PAUSE,
            started: Instant::now(),
            is_synced: false,
            has_begun: false,
            is_reopened: false,
            must_reopen: false,
        }
    }

    /// Waits for the next step. If the caller stops waiting, no step is lost. An error is the last step: another watch
    /// would fail too.
    pub(super) async fn next(&mut self) -> Result<Step, Error> {
        loop {
            match &mut self.state {
                State::Pausing(pause) => {
                    pause.await;
                    if self.must_reopen { self.reopen() } else { self.restart() }
                }
                State::Reopening(session) => match session.await {
                    Ok(session) => {
                        (self.client, self.must_reopen) = (session.client, false);
                        self.restart();
                    }
                    Err(error) if may_open_later(&error) => {
                        self.must_reopen = true;
                        return Ok(self.pause(error));
                    }
                    Err(error) => return Err(error),
                },
                State::Starting(start) => match start.await {
                    Ok(stream) => {
                        self.state = State::Receiving(Box::new(stream));
                        (self.started, self.is_synced, self.has_begun) = (Instant::now(), false, true);
                        return Ok(Step::Started);
                    }
                    Err(end) => return self.handle_end(end),
                },
                State::Receiving(stream) => {
                    // After the snapshot there may be no change for hours. Pings find a connection that is broken.
                    let limit = if self.is_synced { Duration::MAX } else { self.limit };
                    match receive(stream, limit).await {
                        Ok(event) => {
                            self.record(&event);
                            return Ok(Step::Event(event));
                        }
                        Err(end) => return self.handle_end(end),
                    }
                }
            }
        }
    }

    fn restart(&mut self) {
        self.state = start(self.client.clone(), self.request.clone(), self.limit);
    }

    /// Opens another session, with new credentials.
    fn reopen(&mut self) {
        let connection = self.connection;
        self.state = State::Reopening(Box::pin(connect(connection)));
    }

    /// Remembers what the next watch must know.
    fn record(&mut self, event: &Event) {
        match event {
            Event::Changed(count) if version(count) > parse_version(&self.request.min_resource_version) => {
                self.request.min_resource_version.clone_from(&count.resource_version);
            }
            Event::Synced(_) => (self.is_synced, self.is_reopened) = (true, false),
            Event::Changed(_) | Event::Removed(_) => {}
        }
    }

    /// Decides how to go on: after a pause, with new credentials, or not at all.
    fn handle_end(&mut self, End { error, is_temporary }: End) -> Result<Step, Error> {
        // A watch lasts longer than some certificates and tokens.
        if self.has_begun && !self.is_reopened && error.is_of_credentials() {
            self.is_reopened = true;
            self.reopen();
            return Ok(Step::Lost(error.into()));
        }
        if !is_temporary {
            return Err(error.into());
        }
        Ok(self.pause(error.into()))
    }

    /// Pauses before the next try.
    fn pause(&mut self, error: Error) -> Step {
        if self.is_synced && self.started.elapsed() > MAX_PAUSE {
            // Only once for each watch: the pauses must grow while the server is away.
            (self.pause, self.is_synced) = (FIRST_PAUSE, false);
        }
        // At random, so that not all clients of a server that was away come back at once.
        let pause = self.pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.state = State::Pausing(Box::pin(time::sleep(pause)));
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        Step::Lost(error)
    }
}

/// Whether a session that could not be opened may open later: the server or the API server was out of reach. What is
/// refused, or wrong with files, remains so.
fn may_open_later(error: &Error) -> bool {
    match error {
        Error::Session(error) => error.is_temporary(),
        Error::Kubernetes(error) => error.is_temporary(),
        Error::Credentials(error) => error.is_temporary(),
        _ => false,
    }
}

fn start<'a>(mut client: Client, request: WatchReplicaCountsRequest, limit: Duration) -> State<'a> {
    let start = async move {
        match time::timeout(limit, client.watch_replica_counts(request)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(End::new(status)),
            Err(_) => Err(End::timed_out(limit)),
        }
    };
    State::Starting(start.boxed())
}

async fn receive(stream: &mut Streaming<WatchReplicaCountsResponse>, limit: Duration) -> Result<Event, End> {
    loop {
        match time::timeout(limit, stream.message()).await {
            // A newer server may send events that this program does not know.
            Ok(Ok(Some(WatchReplicaCountsResponse { event: None }))) => {}
            Ok(Ok(Some(WatchReplicaCountsResponse { event: Some(event) }))) => return Ok(event),
            Ok(Ok(None)) => return Err(End::new(Status::unavailable("the server ended the watch"))),
            Ok(Err(status)) => return Err(End::new(status)),
            Err(_) => return Err(End::timed_out(limit)),
        }
    }
}

/// The resource version of a count as a number; 0 if it has none. Only these versions are safe to wait for: the newest
/// one that a server knows may be that of a list, which another server reaches only with the next change.
pub(super) fn version(count: &ReplicaCount) -> u64 {
    parse_version(&count.resource_version)
}

/// The newest of some resource versions; empty if there is none.
pub(super) fn newest<'a>(versions: impl IntoIterator<Item = &'a str>) -> String {
    versions.into_iter().max_by_key(|version| parse_version(version)).unwrap_or_default().to_owned()
}

/// Reads a resource version; 0 stands for none. The versions of one kind can be compared as numbers.
pub(super) fn parse_version(version: &str) -> u64 {
    version.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        credentials,
        kubernetes::{self, request, service},
        session,
    };

    #[test]
    fn a_session_opens_later_if_something_was_out_of_reach() {
        let slow = || request::Error::TimedOut { action: "list pods".to_owned(), limit: Duration::ZERO };
        let unsigned = credentials::Error::NotSigned { name: "x".to_owned(), after: Duration::ZERO };
        let no_pod = service::Error::NoneReady { service: "x".into(), namespace: "x".into(), pods: String::new() };
        let no_service = service::Error::NoSuchService { namespace: "x".into(), name: "x".into() };
        let no_name = session::Error::ServerName { name: String::new() };
        let refused = credentials::Error::Refused { name: "x".to_owned(), message: String::new() };
        for (name, error, expected) in [
            ("the API server", Error::Kubernetes(slow().into()), true),
            ("in a session", Error::Session(kubernetes::Error::from(slow()).into()), true),
            ("in a renewal", Error::Credentials(credentials::Error::Request(slow())), true),
            ("no signature yet", Error::Credentials(unsigned), true),
            ("no pod", Error::Kubernetes(no_pod.into()), true),
            ("no Service", Error::Kubernetes(no_service.into()), false),
            ("a wrong name", Error::Session(no_name), false),
            ("a refusal", Error::Credentials(refused), false),
            ("another error", Error::Declined { done: "set" }, false),
        ] {
            assert_eq!(may_open_later(&error), expected, "{name}");
        }
    }
}
