//! Metrics of the requests to the API server: a layer of its client.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use hyper::{Method, Request, Response, StatusCode};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use tower::{Layer, Service};

/// In seconds: from an answer out of the API server's cache to the longest deadline of a write.
const BUCKETS: [f64; 11] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The code of a request that got no answer.
const ERROR: &str = "error";

/// The code of a request that was dropped before its answer: a deadline had passed, or the server stopped leading.
const CANCELED: &str = "canceled";

/// Counts requests to the API server. Clones share the counts.
#[derive(Clone, Debug)]
pub struct Requests {
    total: Family<[(&'static str, String); 2], Counter>,
    seconds: Family<[(&'static str, &'static str); 1], Histogram>,
}

impl Requests {
    /// Registers the metrics.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let requests =
            Self { total: Family::default(), seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)) };
        registry.register(
            "apiserver_requests",
            "Requests to the API server, by verb and by the status of the answer",
            requests.total.clone(),
        );
        registry.register(
            "apiserver_request_duration_seconds",
            "Time from a request to the API server to the beginning of its answer",
            requests.seconds.clone(),
        );
        requests
    }
}

impl<S> Layer<S> for Requests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, requests: self.clone() }
    }
}

/// A client whose requests are counted.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    requests: Requests,
}

impl<S, A, B> Service<Request<A>> for Counted<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let verb = verb(request.method(), request.uri().path(), request.uri().query().unwrap_or_default());
        let mut pending = Pending { requests: self.requests.clone(), verb, begun: Instant::now(), status: None };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            pending.end(answer.as_ref().map(Response::status).ok());
            answer
        })
    }
}

/// A request that is counted when it is dropped.
struct Pending {
    requests: Requests,
    verb: &'static str,
    begun: Instant,
    /// `None` until the request has ended. Then it holds the answer's status, if there was an answer.
    status: Option<Option<StatusCode>>,
}

impl Pending {
    fn end(&mut self, status: Option<StatusCode>) {
        self.status = Some(status);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let code = match &self.status {
            Some(Some(status)) => status.as_str(),
            Some(None) => ERROR,
            None => CANCELED,
        };
        let labels = [("verb", self.verb.to_owned()), ("code", code.to_owned())];
        self.requests.total.get_or_create(&labels).inc();
        let seconds = self.begun.elapsed().as_secs_f64();
        self.requests.seconds.get_or_create(&[("verb", self.verb)]).observe(seconds);
    }
}

/// The verb of a request, as RBAC and audit logs name it.
fn verb(method: &Method, path: &str, query: &str) -> &'static str {
    match method.as_str() {
        "GET" if query.split('&').any(|word| word == "watch=true" || word == "watch=1") => "watch",
        "GET" if is_collection(path) => "list",
        "GET" => "get",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "other",
    }
}

/// Whether a path is that of a resource type, rather than of one object or of the API server's own information.
fn is_collection(path: &str) -> bool {
    let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let below = match segments.as_slice() {
        ["api", _, below @ ..] | ["apis", _, _, below @ ..] => below,
        _ => return false,
    };
    matches!(below, [_] | ["namespaces", _, _])
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use prometheus_client::encoding::text::encode;
    use tower::{ServiceExt, service_fn};

    use super::*;

    #[test]
    fn a_request_has_the_verb_that_rbac_knows_it_by() {
        struct Row {
            verb: &'static str,
            method: Method,
            path: &'static str,
        }
        let rows = [
            Row { verb: "list", method: Method::GET, path: "/api/v1/namespaces/shop/configmaps" },
            Row { verb: "list", method: Method::GET, path: "/apis/apps/v1/deployments?limit=500" },
            Row { verb: "watch", method: Method::GET, path: "/apis/apps/v1/deployments?limit=500&watch=true" },
            Row { verb: "get", method: Method::GET, path: "/apis/apps/v1/namespaces/shop/deployments/web" },
            Row { verb: "get", method: Method::GET, path: "/apis/apps/v1/namespaces/shop/deployments/web/scale" },
            Row {
                verb: "get",
                method: Method::GET,
                path: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/x.y",
            },
            Row { verb: "get", method: Method::GET, path: "/apis/apps/v1" },
            Row { verb: "get", method: Method::GET, path: "/version" },
            Row { verb: "create", method: Method::POST, path: "/apis/authorization.k8s.io/v1/subjectaccessreviews" },
            Row { verb: "update", method: Method::PUT, path: "/apis/coordination.k8s.io/v1/namespaces/a/leases/b" },
            Row { verb: "patch", method: Method::PATCH, path: "/apis/apps/v1/namespaces/shop/deployments/web/scale" },
            Row {
                verb: "delete",
                method: Method::DELETE,
                path: "/apis/replica-count-manager.io/v1/namespaces/a/replicacounts/b",
            },
            Row { verb: "other", method: Method::OPTIONS, path: "/" },
        ];
        for Row { verb: expected, method, path } in rows {
            let (resource, query) = path.split_once('?').unwrap_or((path, ""));
            assert_eq!(verb(&method, resource, query), expected, "{method} {path}");
        }
    }

    #[tokio::test]
    async fn answers_failures_and_dropped_requests_are_counted() {
        let mut registry = Registry::default();
        let requests = Requests::register(&mut registry);
        let get = || Request::get("/version").body(()).unwrap();
        let forbidden =
            service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::builder().status(403).body(()).unwrap()));
        requests.layer(forbidden).oneshot(get()).await.unwrap();
        let failing = service_fn(async |_: Request<()>| Err::<Response<()>, _>("no connection"));
        requests.layer(failing).oneshot(get()).await.unwrap_err();
        let silent =
            service_fn(async |_: Request<()>| std::future::pending::<Result<Response<()>, Infallible>>().await);
        let given_up = requests.layer(silent).oneshot(get());
        tokio::select! { biased; _ = given_up => panic!("there is no answer"), () = std::future::ready(()) => {} }
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            r#"apiserver_requests_total{verb="get",code="403"} 1"#,
            r#"apiserver_requests_total{verb="get",code="error"} 1"#,
            r#"apiserver_requests_total{verb="get",code="canceled"} 1"#,
            r#"apiserver_request_duration_seconds_count{verb="get"} 3"#,
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is missing in {text}");
        }
    }
}
