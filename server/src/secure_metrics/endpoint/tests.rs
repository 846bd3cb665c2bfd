use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;
use crate::secure_metrics::fixtures::{Answering, ApiServer};

/// The answer to a request with a line and with credentials.
async fn answer_to(line: &str, credentials: &str) -> String {
    let (mut client, server) = duplex(64 * 1024);
    let readers = ApiServer::new(Answering::Properly).readers();
    let served = tokio::spawn(connection(server, Ipv4Addr::LOCALHOST.into(), readers, Arc::default()));
    let request = format!("{line} HTTP/1.1\r\nhost: x\r\nauthorization: {credentials}\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    served.await.unwrap();
    answer
}

#[tokio::test]
async fn a_request_is_answered_by_its_token() {
    struct Row<'a> {
        name: &'static str,
        line: &'static str,
        credentials: &'a str,
        /// The status and the start of the body.
        expected: (u16, &'static str),
    }
    let [longest, too_long] = [1, 3].map(|parts| format!("Bearer {}", "x".repeat(parts * MAX_HEAD / 2)));
    for Row { name, line, credentials, expected: (status, body) } in [
        Row { name: "a reader", line: "GET /metrics", credentials: "Bearer reader", expected: (200, "# HELP ") },
        Row { name: "head", line: "HEAD /metrics", credentials: "Bearer reader", expected: (200, "") },
        Row { name: "another user", line: "GET /metrics", credentials: "Bearer other", expected: (403, "user ") },
        Row { name: "no token", line: "GET /metrics", credentials: "", expected: (401, "the request has no token") },
        Row { name: "an unknown token", line: "GET /metrics", credentials: "Bearer x", expected: (401, "the API ") },
        Row { name: "the longest token", line: "GET /metrics", credentials: &longest, expected: (401, "the API ") },
        Row { name: "a longer head", line: "GET /metrics", credentials: &too_long, expected: (431, "") },
        Row { name: "a probe", line: "GET /livez", credentials: "", expected: (404, "not found: there is /metrics") },
        Row { name: "a write", line: "DELETE /metrics", credentials: "Bearer reader", expected: (405, "only GET") },
    ] {
        let answer = answer_to(line, credentials).await;
        let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")) && rest.starts_with(body), "{name}: {answer}");
        let [asks, is_metrics] =
            ["www-authenticate: Bearer", "application/openmetrics-text"].map(|text| head.contains(text));
        assert_eq!((asks, is_metrics), (status == 401, status == 200), "{name}: {head}");
    }
}
