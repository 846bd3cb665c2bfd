//! Decides whether the token of a request is that of a user who may read the metrics.

use std::{net::IpAddr, sync::Arc, time::Duration};

use hyper::{HeaderMap, header::AUTHORIZATION};
use kube::Client;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::{
    answers::{Access, Answers, TokenHash},
    questions,
    refusal::Refusal,
};
use crate::runtime::places::Places;

/// The most bytes of a token. One of a service account has about 1 KiB, and one of an identity provider a few.
const MAX_TOKEN: usize = 16 * 1024;

/// The most tokens that are checked at once. Each check is two requests, and calls of clients share the API server with
/// them.
const MAX_CHECKS: usize = 8;

/// The most tokens of one address that are checked at once. The API server may ask a slow identity provider about made-up
/// tokens, and those of one address must not keep a reader at another one out.
const MAX_CHECKS_OF_ADDRESS: usize = 4;

/// The longest wait for one of these places, as for questions about the rights of callers.
const QUEUE_TIME: Duration = Duration::from_secs(2);

/// The longest wait for the API server. Together with the wait for a place, it stays below the 10 s that Prometheus
/// waits.
const CHECK_TIME: Duration = Duration::from_secs(5);

/// The users who may read the metrics, as the API server knows them.
pub(crate) struct Readers {
    client: Client,
    /// The places of checks, by the address of the peer.
    checks: Arc<Places>,
    answers: Mutex<Answers>,
}

impl Readers {
    /// Asks the API server by this client.
    pub(crate) fn new(client: Client) -> Arc<Self> {
        let checks = Places::new(MAX_CHECKS, MAX_CHECKS_OF_ADDRESS);
        Arc::new(Self { client, checks, answers: Mutex::default() })
    }

    /// Refuses a request of a peer without the token of a user who may read the metrics.
    pub(super) async fn check(&self, headers: &HeaderMap, peer: IpAddr) -> Result<(), Refusal> {
        let token = bearer_token(headers)?;
        match self.access(token, peer).await? {
            Access::Allowed => Ok(()),
            Access::Denied(user) => Err(Refusal::Forbidden(user)),
            Access::Unknown => Err(Refusal::UnknownToken),
        }
    }

    async fn access(&self, token: &str, peer: IpAddr) -> Result<Access, Refusal> {
        let hash = TokenHash::of(token);
        let known = || self.answers.lock().get(hash, Instant::now());
        if let Some(access) = known() {
            return Ok(access);
        }
        let place = self.checks.take(&peer.to_canonical().to_string(), 1, QUEUE_TIME).await;
        let Some(_place) = place else { return Err(Refusal::TooManyTokens) };
        // Another request may have asked about the token meanwhile.
        if let Some(access) = known() {
            return Ok(access);
        }
        let asked = Instant::now();
        let answer = timeout(CHECK_TIME, questions::access(&self.client, token)).await;
        let access = answer.unwrap_or(Err(Refusal::Unanswered))?;
        self.answers.lock().keep(hash, access.clone(), asked);
        Ok(access)
    }
}

/// The token of a request (RFC 6750).
fn bearer_token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Refusal::NoToken) };
    let words = value.to_str().ok().and_then(|value| value.trim().split_once(' '));
    let Some((scheme, token)) = words else { return Err(Refusal::NoToken) };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::NoToken);
    }
    match token.trim_start() {
        token if token.len() > MAX_TOKEN => Err(Refusal::LongToken(MAX_TOKEN)),
        token => Ok(token),
    }
}

#[cfg(test)]
mod tests;
