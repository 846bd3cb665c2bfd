//! Texts of protobuf messages.

use prost::bytes::Bytes;
use serde::Serializer;

/// Serializes a text. Invalid UTF-8 becomes the replacement character, as in Go's JSON.
///
/// The messages hold texts as bytes, because the API server stores invalid UTF-8 that a client wrote in protobuf. One
/// such object must not make the others unreadable.
pub(super) fn text<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}
