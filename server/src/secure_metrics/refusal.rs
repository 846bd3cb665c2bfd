//! Why a request for the metrics is refused.

use hyper::StatusCode;

/// Why a request is refused. It never shows a part of a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the request has no token: send one header `Authorization: Bearer TOKEN`, with a token of the cluster")]
    NoToken,
    #[error("the token has more than {0} bytes")]
    LongToken(usize),
    #[error("the API server does not accept the token: it has expired, is meant for another audience, or is none")]
    UnknownToken,
    #[error(
        "user {0:?} lacks the right to `get` the nonResourceURL /metrics: bind the user to a ClusterRole that has it, such \
         as the chart's, whose name ends with -metrics-reader"
    )]
    Forbidden(String),
    #[error("too many tokens are being checked; try again in a moment")]
    TooManyTokens,
    #[error("the API server did not answer the questions about the token in time; try again in a moment")]
    Unanswered,
    #[error(
        "the API server does not let this server ask about tokens: the server's account needs the right to `create` \
         tokenreviews.authentication.k8s.io and subjectaccessreviews.authorization.k8s.io"
    )]
    MayNotAsk,
}

impl Refusal {
    /// The status of the answer.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoToken | Self::LongToken(_) | Self::UnknownToken => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::TooManyTokens | Self::Unanswered => StatusCode::SERVICE_UNAVAILABLE,
            Self::MayNotAsk => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}
