//! The size of a page of a listing, and the token that asks for the next page.

use super::error::Error;
use crate::resources::{GroupKind, TargetKey};

/// Entries of a page if the caller names no number. It is kubectl's `--chunk-size`.
const DEFAULT_PAGE_SIZE: usize = 500;

/// The most entries of a page, which bounds the work of one call.
const MAX_PAGE_SIZE: usize = 5000;

/// The longest token, in bytes: above the longest namespace (63), kind (63), group (253) and name (253).
const MAX_TOKEN: usize = 1024;

/// Reads `page_size`, in entries.
pub(super) fn size(size: i32) -> Result<usize, Error> {
    match usize::try_from(size) {
        Ok(0) => Ok(DEFAULT_PAGE_SIZE),
        Ok(size) => Ok(size.min(MAX_PAGE_SIZE)),
        Err(_) => Err(Error::invalid("page_size", format!("must not be negative, and is {size}"))),
    }
}

/// Reads `page_token`: the key that the page starts after; `None` for the first page.
pub(super) fn parse_token(token: &str) -> Result<Option<TargetKey>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    if token.len() > MAX_TOKEN {
        return Err(Error::invalid("page_token", "was not issued by this server"));
    }
    // No further checks: a target that is only listed may have a name that cannot be managed.
    match token.split('/').collect::<Vec<_>>()[..] {
        [namespace, kind, group, name] => {
            Ok(Some(TargetKey { namespace: namespace.into(), kind: GroupKind::new(kind, group), name: name.into() }))
        }
        _ => Err(Error::invalid("page_token", "was not issued by this server")),
    }
}

/// Writes the token of the page that starts after a key: the key's parts, separated by slashes.
pub(super) fn token(last: &TargetKey) -> String {
    format!("{}/{}/{}/{}", last.namespace, last.kind.kind, last.kind.group, last.name)
}
