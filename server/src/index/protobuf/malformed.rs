//! The error of an answer that cannot be read.

/// Why an answer cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it does not begin as the API server's protobuf does")]
    Magic,
    #[error("it is of no kind of the group apps")]
    Kind,
    #[error("a message is malformed")]
    Message(#[from] prost::DecodeError),
    #[error("it cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}
