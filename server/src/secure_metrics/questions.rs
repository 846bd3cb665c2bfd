//! What is asked of the API server about a token: whose it is, and whether that user may read the metrics.
//!
//! kube's client logs answers that it cannot read, and a TokenReview comes back with its token. So these answers are
//! read here.

use http_body_util::{BodyExt, Limited};
use hyper::StatusCode;
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus, UserInfo},
    authorization::v1::{
        NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
    },
};
use kube::{
    Client, Resource,
    api::{PostParams, Request},
    client::Body,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{answers::Access, refusal::Refusal};
use crate::resources::{beginning, is_allowed};

/// The most bytes of an answer. It repeats the question, and adds a user with groups.
const MAX_ANSWER: usize = 64 * 1024;

/// The most bytes of a user's name that are kept.
const MAX_NAME: usize = 512;

/// The part of a review that answers it.
#[derive(Deserialize)]
struct Reviewed<S> {
    status: Option<S>,
}

/// Asks the API server what the user of a token may do.
///
/// # Errors
///
/// When the API server does not answer, or does not let this server ask.
pub(super) async fn access(client: &Client, token: &str) -> Result<Access, Refusal> {
    let Some(user) = user_of(client, token).await? else { return Ok(Access::Unknown) };
    let name = user.username.clone().unwrap_or_default();
    if may_read(client, user).await? {
        Ok(Access::Allowed)
    } else {
        Ok(Access::Denied(beginning(&name, MAX_NAME).to_owned()))
    }
}

/// The user of a token; `None` if it is no token of a user. Without a list of audiences, it must be meant for the API
/// server, as those of service accounts are.
async fn user_of(client: &Client, token: &str) -> Result<Option<UserInfo>, Refusal> {
    let spec = TokenReviewSpec { token: Some(token.to_owned()), ..TokenReviewSpec::default() };
    let review = TokenReview { spec, ..TokenReview::default() };
    let status: TokenReviewStatus = ask(client, &review).await?;
    let is_authenticated = status.authenticated.unwrap_or_default();
    let user = status.user.filter(|_| is_authenticated);
    Ok(user.filter(|user| user.username.as_ref().is_some_and(|name| !name.is_empty())))
}

async fn may_read(client: &Client, user: UserInfo) -> Result<bool, Refusal> {
    let metrics = NonResourceAttributes { path: Some("/metrics".to_owned()), verb: Some("get".to_owned()) };
    let UserInfo { username, uid, groups, extra } = user;
    let spec = SubjectAccessReviewSpec {
        user: username,
        uid,
        groups,
        extra,
        non_resource_attributes: Some(metrics),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let status: SubjectAccessReviewStatus = ask(client, &review).await?;
    is_allowed(Some(status)).map_err(|_| Refusal::Unanswered)
}

/// Creates a review, and returns what it found.
async fn ask<K, S>(client: &Client, review: &K) -> Result<S, Refusal>
where
    K: Resource<DynamicType = ()> + Serialize,
    S: DeserializeOwned,
{
    let question = serde_json::to_vec(review).map_err(|_| Refusal::Unanswered)?;
    let request = Request::new(K::url_path(&(), None)).create(&PostParams::default(), question);
    let request = request.map_err(|_| Refusal::Unanswered)?.map(Body::from);
    let answer = client.send(request).await.map_err(|_| Refusal::Unanswered)?;
    match answer.status() {
        StatusCode::FORBIDDEN => return Err(Refusal::MayNotAsk),
        status if !status.is_success() => return Err(Refusal::Unanswered),
        _ => {}
    }
    let answer = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(|_| Refusal::Unanswered)?;
    let reviewed: Reviewed<S> = serde_json::from_slice(&answer.to_bytes()).map_err(|_| Refusal::Unanswered)?;
    reviewed.status.ok_or(Refusal::Unanswered)
}
