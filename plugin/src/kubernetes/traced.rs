//! The HTTP client of the API server, which shows its requests for `-v=6`.

use std::task::{Context, Poll};

use futures::{FutureExt, future::BoxFuture};
use hyper::http::{Request, Response};
use tower::Service;

use crate::trace;

/// A client that shows its requests.
#[derive(Clone)]
pub(super) struct Traced<S>(pub(super) S);

impl<S, B, A> Service<Request<B>> for Traced<S>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut shown = trace::Request::new(request.method().as_str(), request.uri());
        let answer = self.0.call(request);
        async move {
            let answer = answer.await;
            match &answer {
                Ok(response) => shown.end_with(response.status()),
                Err(_) => shown.end("failed"),
            }
            answer
        }
        .boxed()
    }
}
