//! The deadlines of one watch: its length, the longest silence, and the pause before it is opened again.
//!
//! They are a layer of the watch's client. The layer also records when the API server was heard.

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt, stream};
use http_body_util::{BodyDataStream, BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Bytes, Frame},
};
use kube::{Client, client::Body};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tower::{BoxError, service_fn};

use super::watch_source::WatchSource;
use crate::telemetry::Watches;

/// How long the API server may take to open a watch. It answers before it looks for events.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the API server may take to begin with a page of a list, and to go on with it. It gives up by itself after
/// this time (`--request-timeout`).
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a watch lasts. Its end shows that the API server still answers. Bookmarks do not suffice for that: of a
/// resource that nobody changes, the first one comes after two minutes (seen on 1.37.2).
const WATCH: Duration = Duration::from_secs(60);

/// How long a watch lasts after a silence of [`WATCH`]: its end soon shows that the API server answers again.
const SHORT_WATCH: Duration = Duration::from_secs(5);

/// How much later than asked a watch may end, and how much sooner.
const MARGIN: Duration = Duration::from_secs(5);
const EARLY: Duration = Duration::from_secs(1);

/// How long a watch of [`SHORT_WATCH`] may say nothing until it fails.
pub(super) const SHORT_SILENCE: Duration = SHORT_WATCH.saturating_add(MARGIN);

/// A watch that ends sooner than this ended at once. It is the longest pause before the next one, too.
const AT_ONCE: Duration = Duration::from_secs(4);

/// The pause after the first watch that ended at once. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// What the API server did not do in time.
#[derive(Debug, thiserror::Error)]
enum Silent {
    #[error("the API server did not answer within {} s", .0.as_secs())]
    NoAnswer(Duration),
    #[error("the API server has sent nothing for {} s", .0.as_secs())]
    NoData(Duration),
}

/// Wraps a client for the lists and watches of one source.
pub(super) fn with_deadlines(client: Client, watches: &Watches, source: &WatchSource) -> Client {
    watches.begin(source);
    let namespace = client.default_namespace().to_owned();
    let (watches, source) = (watches.clone(), Arc::<str>::from(source.to_string()));
    let openings = Arc::<Mutex<Openings>>::default();
    let service = service_fn(move |request: Request<Body>| {
        let call = Call { client: client.clone(), watches: watches.clone(), source: source.clone() };
        let openings = openings.clone();
        async move {
            if !is_watch(&request) {
                return call.send(request, PAGE_TIMEOUT, None).await;
            }
            let pause = openings.lock().pause(Instant::now());
            sleep(pause).await;
            let is_short =
                call.watches.silence(&call.source) >= WATCH && !has_parameter(&request, "sendInitialEvents=");
            let lasts = if is_short { SHORT_WATCH } else { WATCH };
            let answer = call.send(with_timeout(request, lasts)?, OPEN_TIMEOUT, Some(lasts)).await?;
            if answer.status().is_success() {
                openings.lock().opened(Instant::now());
            }
            Ok(answer)
        }
    });
    Client::new(service, namespace)
}

fn is_watch(request: &Request<Body>) -> bool {
    has_parameter(request, "watch=")
}

fn has_parameter(request: &Request<Body>, start: &str) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|parameter| parameter.starts_with(start))
}

/// Asks for a watch of this length. kube's watcher asks for 290 s, and ends a stream without an error after 295 s of
/// silence. Our length is shorter, so the API server or `max_silence` ends the stream first.
fn with_timeout(mut request: Request<Body>, lasts: Duration) -> Result<Request<Body>, BoxError> {
    let parameters = request.uri().query().unwrap_or_default().split('&');
    let parameters = parameters.filter(|parameter| !parameter.starts_with("timeoutSeconds="));
    let query: Vec<_> = parameters.collect();
    let uri = format!("{}?{}&timeoutSeconds={}", request.uri().path(), query.join("&"), lasts.as_secs());
    *request.uri_mut() = uri.parse()?;
    Ok(request)
}

/// What a request needs.
struct Call {
    client: Client,
    watches: Watches,
    source: Arc<str>,
}

impl Call {
    /// Sends a request. `lasts` is the length of a watch.
    async fn send(self, request: Request<Body>, deadline: Duration, lasts: Option<Duration>) -> Answer {
        let answer = timeout(deadline, self.client.send(request)).await.map_err(|_| Silent::NoAnswer(deadline))??;
        let hear = answer.status().is_success().then_some((self.watches, self.source));
        let max_silence = lasts.map_or(PAGE_TIMEOUT, |lasts| lasts + MARGIN);
        let ends = lasts.map(|lasts| Instant::now() + lasts - EARLY);
        Ok(answer.map(|body| {
            let body = Bounded { data: body.into_data_stream(), hear, max_silence, ends };
            StreamBody::new(body.run()).boxed_unsync()
        }))
    }
}

/// An answer whose body fails if the API server is silent for too long.
type Answer = Result<Response<UnsyncBoxBody<Bytes, BoxError>>, BoxError>;

/// A body that is read with a deadline.
struct Bounded {
    data: BodyDataStream<Body>,
    /// The watch that hears it; `None` if the request was refused.
    hear: Option<(Watches, Arc<str>)>,
    max_silence: Duration,
    /// When a watch may end; `None` for a page of a list.
    ends: Option<Instant>,
}

impl Bounded {
    fn run(self) -> impl Stream<Item = Result<Frame<Bytes>, BoxError>> {
        stream::unfold(Some(self), async |body| {
            let mut body = body?;
            match timeout(body.max_silence, body.data.next()).await {
                Ok(Some(Ok(data))) => {
                    body.record();
                    Some((Ok(Frame::data(data)), Some(body)))
                }
                Ok(Some(Err(error))) => Some((Err(error.into()), None)),
                Ok(None) => {
                    // A watch that ends early may have been ended by a proxy that has lost the API server. So only an
                    // end that was due counts as heard.
                    if body.ends.is_some_and(|ends| ends <= Instant::now()) {
                        body.record();
                    }
                    None
                }
                Err(_) => Some((Err(Silent::NoData(body.max_silence).into()), None)),
            }
        })
    }

    fn record(&self) {
        if let Some((watches, source)) = &self.hear {
            watches.heard(source);
        }
    }
}

/// When the watch was opened last, and how often in a row it ended at once.
#[derive(Debug, Default)]
struct Openings {
    last: Option<Instant>,
    short: u32,
}

impl Openings {
    fn opened(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// The pause before the next opening. kube's watcher opens a watch again without one, if it ended without an error.
    fn pause(&mut self, now: Instant) -> Duration {
        match self.last.take() {
            Some(last) if now.duration_since(last) < AT_ONCE => {
                let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.short)).min(AT_ONCE);
                self.short = self.short.saturating_add(1);
                pause
            }
            Some(_) => {
                self.short = 0;
                Duration::ZERO
            }
            // The last attempt failed. kube's watcher pauses after that.
            None => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::pending};

    use kube::{
        Api,
        api::{ListParams, WatchParams},
    };

    use super::*;
    use crate::resources::ReplicaCount;

    /// What the API server does with a request.
    #[derive(Clone, Copy)]
    enum Server {
        NeverAnswers,
        SendsHeaders,
        /// Sends no event, and ends each watch after the time that was asked for.
        IsQuiet,
        EndsWatchesAtOnce,
    }

    fn replica_counts(server: Server, watches: &Watches) -> Api<ReplicaCount> {
        let service = service_fn(move |request: Request<Body>| async move {
            let asked = request.uri().query().and_then(|query| query.split_once("timeoutSeconds="));
            let asked = asked.and_then(|(_, seconds)| seconds.parse().ok()).map_or(Duration::MAX, Duration::from_secs);
            let lasts = match server {
                Server::NeverAnswers => return pending().await,
                Server::SendsHeaders => Duration::MAX,
                Server::IsQuiet => asked,
                Server::EndsWatchesAtOnce => Duration::ZERO,
            };
            let end = stream::once(sleep(lasts)).filter_map(async |()| None::<Result<Frame<Bytes>, Infallible>>);
            Ok::<_, Infallible>(Response::new(StreamBody::new(end.boxed()).boxed_unsync()))
        });
        Api::all(with_deadlines(Client::new(service, "here"), watches, &WatchSource::ReplicaCounts))
    }

    /// Opens a watch and reads it to its end. Returns its time in seconds, and whether it failed.
    async fn watch(api: &Api<ReplicaCount>) -> (u64, bool) {
        let start = Instant::now();
        let failed = match api.watch(&WatchParams::default(), "1").await {
            Ok(events) => events.boxed().any(async |event| event.is_err()).await,
            Err(_) => true,
        };
        (start.elapsed().as_secs(), failed)
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_says_nothing_is_given_up_in_time_and_is_not_heard() {
        let watches = Watches::default();
        let silent = replica_counts(Server::NeverAnswers, &watches);
        assert_eq!(watch(&silent).await, (30, true));
        assert!(silent.list(&ListParams::default()).await.is_err());
        assert_eq!(watches.silence(&WatchSource::ReplicaCounts).as_secs(), 90);

        let watches = Watches::default();
        let headers = replica_counts(Server::SendsHeaders, &watches);
        assert_eq!(watch(&headers).await, (65, true));
        assert_eq!(watch(&headers).await, (10, true), "after a long silence a watch is short");
        assert_eq!(watches.silence(&WatchSource::ReplicaCounts).as_secs(), 75);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_watch_without_events_is_heard() {
        let watches = Watches::default();
        let quiet = replica_counts(Server::IsQuiet, &watches);
        for lasts in [60, 60] {
            assert_eq!(watch(&quiet).await, (lasts, false));
            assert_eq!(watches.silence(&WatchSource::ReplicaCounts), Duration::ZERO);
        }
        tokio::time::advance(WATCH).await;
        for lasts in [5, 60] {
            assert_eq!(watch(&quiet).await, (lasts, false), "the first watch after a silence is short");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_ends_at_once_is_opened_again_after_growing_pauses_and_is_not_heard() {
        let watches = Watches::default();
        let ends = replica_counts(Server::EndsWatchesAtOnce, &watches);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let start = Instant::now();
            assert!(!watch(&ends).await.1);
            pauses.push(start.elapsed().as_millis());
        }
        assert_eq!(pauses, [0, 100, 200, 400, 800, 1600, 3200, 4000]);
        assert_eq!(watches.silence(&WatchSource::ReplicaCounts).as_millis(), pauses.iter().sum::<u128>());
        tokio::time::advance(AT_ONCE).await;
        assert_eq!(watch(&ends).await.0, 0, "a watch that lasted is opened again without a pause");
    }
}
