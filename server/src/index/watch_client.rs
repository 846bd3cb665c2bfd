//! The client of one watch. It keeps the pages of lists small, and notes when the API server has opened the watch.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited, combinators::UnsyncBoxBody};
use hyper::{Request, Response, Uri, body::Bytes, http::uri::PathAndQuery};
use kube::{Client, client::Body};
use tower::{BoxError, service_fn};

use super::{watch_health::WatchHealth, watch_source::WatchSource};

/// How many objects the first page of a list can have. Each object can have 1.5 MiB, which is the largest request that
/// etcd accepts by default (`--max-request-bytes`).
const FIRST_PAGE: u32 = 4;

/// How many objects a page can have at most. kubectl asks for as many.
const MOST_OBJECTS: u32 = 500;

/// The largest page, in bytes. A larger one is asked for again with fewer objects. In memory, JSON takes a few times as
/// much.
const MAX_PAGE: usize = 4 * 1024 * 1024;

/// The largest page of a single object, in bytes: ten times what etcd accepts by default.
const MAX_OBJECT: usize = 16 * 1024 * 1024;

type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// Wraps a client for one watch.
pub(super) fn client(client: Client, health: Arc<WatchHealth>, source: WatchSource) -> Client {
    let namespace = client.default_namespace().to_owned();
    let page = Arc::new(AtomicU32::new(FIRST_PAGE));
    let service = service_fn(move |request: Request<Body>| {
        let (client, health, source, page) = (client.clone(), health.clone(), source.clone(), page.clone());
        async move {
            let query = request.uri().query().unwrap_or_default();
            let is_watch = query.split('&').any(|word| word == "watch=true" || word == "watch=1");
            if !is_watch && let Some(limit) = limit_in(query) {
                return read_page(&client, request, limit, &page).await;
            }
            let answer = client.send(request).await?;
            if is_watch && answer.status().is_success() {
                health.record_opened(&source);
            }
            Ok::<Answer, BoxError>(answer.map(|body| body.map_err(BoxError::from).boxed_unsync()))
        }
    });
    Client::new(service, namespace)
}

/// Reads a page with as many objects as fit, up to a limit. The next page begins where this one ends, whatever its
/// size.
async fn read_page(client: &Client, request: Request<Body>, most: u32, page: &AtomicU32) -> Result<Answer, BoxError> {
    let (mut head, _) = request.into_parts();
    loop {
        let page_limit = page.load(Ordering::Relaxed);
        let limit = page_limit.clamp(1, most.max(1));
        head.uri = with_limit(&head.uri, limit)?;
        let answer = client.send(Request::from_parts(head.clone(), Body::empty())).await?;
        let (answer, body) = answer.into_parts();
        let most_bytes = if limit == 1 { MAX_OBJECT } else { MAX_PAGE };
        match Limited::new(body, most_bytes).collect().await {
            Ok(body) => {
                let body = body.to_bytes();
                if answer.status.is_success() && limit == page_limit {
                    page.store(next_limit(limit, body.len()), Ordering::Relaxed);
                }
                return Ok(Response::from_parts(answer, Full::new(body).map_err(BoxError::from).boxed_unsync()));
            }
            Err(error) if limit > 1 && error.is::<LengthLimitError>() => {
                page.store((limit / 4).max(1), Ordering::Relaxed);
            }
            Err(error) => return Err(error),
        }
    }
}

/// The limit after a page of this many bytes.
fn next_limit(limit: u32, bytes: usize) -> u32 {
    match bytes {
        // Even twice as many objects of this size are far from the maximum.
        _ if bytes < MAX_PAGE / 4 => limit.saturating_mul(2).min(MOST_OBJECTS),
        _ if bytes > MAX_PAGE / 2 => (limit / 2).max(1),
        _ => limit,
    }
}

fn limit_in(query: &str) -> Option<u32> {
    query.split('&').find_map(|word| word.strip_prefix("limit="))?.parse().ok()
}

fn with_limit(uri: &Uri, limit: u32) -> Result<Uri, BoxError> {
    let words = uri.query().unwrap_or_default().split('&').filter(|word| !word.starts_with("limit="));
    let query =
        words.fold(format!("limit={limit}"), |query, word| if word.is_empty() { query } else { query + "&" + word });
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("{}?{query}", uri.path()))?);
    Ok(Uri::from_parts(parts)?)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn the_limit_grows_and_shrinks_with_the_bytes_of_a_page() {
        for (name, limit, bytes, expected) in [
            ("small objects", 4, 20_000, 8),
            ("a fair page", 64, MAX_PAGE / 3, 64),
            ("a large page", 64, MAX_PAGE - 1, 32),
            ("a single large object", 1, MAX_OBJECT, 1),
            ("no more objects than kubectl reads", 400, 2, MOST_OBJECTS),
        ] {
            assert_eq!(next_limit(limit, bytes), expected, "{name}");
        }
    }

    #[test]
    fn only_the_limit_of_a_request_is_replaced() {
        let uri = Uri::from_static("/apis/a/v1/bs?limit=500&continue=abc&resourceVersionMatch=Exact");
        assert_eq!(limit_in(uri.query().unwrap()), Some(500));
        let expected = "/apis/a/v1/bs?limit=4&continue=abc&resourceVersionMatch=Exact";
        assert_eq!(with_limit(&uri, 4).unwrap().to_string(), expected);
        assert_eq!(limit_in("watch=true&timeoutSeconds=60"), None);
    }

    /// Answers like an API server whose objects have this many bytes each, and notes the limits.
    async fn ask(bytes: usize, page: &AtomicU32) -> (Vec<u32>, Result<usize, BoxError>) {
        let limits = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let seen = limits.clone();
        let server = service_fn(move |request: Request<Body>| {
            let limit = limit_in(request.uri().query().unwrap()).unwrap();
            seen.lock().push(limit);
            let body = Full::new(Bytes::from(vec![b' '; bytes * limit as usize]));
            std::future::ready(Ok::<_, Infallible>(Response::new(body)))
        });
        let client = Client::new(server, "default");
        let request = Request::get("/apis/a/v1/bs?limit=500").body(Body::empty()).unwrap();
        let answer = read_page(&client, request, 500, page).await;
        let answer = match answer {
            Ok(answer) => answer.into_body().collect().await.map(|body| body.to_bytes().len()),
            Err(error) => Err(error),
        };
        let limits = limits.lock().clone();
        (limits, answer)
    }

    #[tokio::test]
    async fn a_page_that_is_too_large_is_asked_for_again_with_fewer_objects() {
        let (limits, read) = ask(1_400_000, &AtomicU32::new(500)).await;
        assert_eq!((limits, read.unwrap()), (vec![500, 125, 31, 7, 1], 1_400_000));
        let (limits, read) = ask(1_000, &AtomicU32::new(4)).await;
        assert_eq!((limits, read.unwrap()), (vec![4], 4_000));
        let (limits, read) = ask(MAX_OBJECT + 1, &AtomicU32::new(2)).await;
        assert!(read.is_err());
        assert_eq!(limits, [2, 1], "a single object that is too large is an error");
    }

    #[tokio::test]
    async fn pages_grow_again_after_a_few_huge_objects() {
        for first in [2, 3] {
            let (page, mut limits) = (AtomicU32::new(first), Vec::new());
            for bytes in [3_000_000, 1_000, 1_000] {
                limits.extend(ask(bytes, &page).await.0);
            }
            assert_eq!(limits, [first, 1, 1, 2]);
        }
    }
}
