//! Requests on stderr, for `-v=6`: the method, the URL, the status and the time of each. No header and no body is shown,
//! since they hold tokens and keys.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use hyper::http::{StatusCode, Uri};

use crate::output;

/// The level from which on kubectl shows requests.
const REQUESTS: i32 = 6;

static IS_ON: AtomicBool = AtomicBool::new(false);

/// Shows requests from now on, if the level of `-v` asks for it.
pub(crate) fn start(level: i32) {
    IS_ON.store(level >= REQUESTS, Ordering::Relaxed);
}

/// A request under way. It is shown when its status is known, or at the latest when it is dropped.
#[derive(Debug)]
pub(crate) struct Request {
    /// The method and the URL; None if requests are not shown, or when this one was shown.
    name: Option<String>,
    start: Instant,
}

impl Request {
    /// Begins a request.
    pub(crate) fn new(method: &str, url: &Uri) -> Self {
        let name = IS_ON.load(Ordering::Relaxed).then(|| format!("{method} {}", without_secrets(url)));
        Self { name, start: Instant::now() }
    }

    /// Shows the request with the status of its answer, unless it was shown before.
    pub(crate) fn end(&mut self, status: &str) {
        if let Some(name) = self.name.take() {
            output::note(&line(&name, status, self.start.elapsed()));
        }
    }

    /// Shows the request with the status of HTTP.
    pub(crate) fn end_with(&mut self, status: StatusCode) {
        // The text has the number and its meaning, such as `404 Not Found`.
        self.end(&status.to_string());
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.end("ended without a status");
    }
}

fn line(name: &str, status: &str, time: Duration) -> String {
    format!("{name} {status} in {} ms", time.as_millis())
}

/// A URL without the name and the password before its host.
fn without_secrets(url: &Uri) -> String {
    let text = url.to_string();
    match (text.split_once("://"), url.authority()) {
        (Some((scheme, rest)), Some(authority)) => {
            let host = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host);
            format!("{scheme}://{host}{}", &rest[authority.as_str().len().min(rest.len())..])
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (url, shown) in [
            ("https://127.0.0.1:6443/api/v1/pods?limit=5", "https://127.0.0.1:6443/api/v1/pods?limit=5"),
            ("https://me:s3cret@[::1]:6443/api", "https://[::1]:6443/api"),
            ("https://me:s3cret@a.test", "https://a.test/"),
            ("/replicas.v1.ReplicasService/GetServerInfo", "/replicas.v1.ReplicasService/GetServerInfo"),
        ] {
            assert_eq!(without_secrets(&url.parse().unwrap()), shown);
        }
        assert_eq!(line("GET https://a/", "200 OK", Duration::from_micros(4999)), "GET https://a/ 200 OK in 4 ms");
    }
}
