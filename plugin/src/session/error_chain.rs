//! Chains of errors.

use std::{error::Error, io};

/// Finds the first error of a type in the chain of causes.
pub(super) fn find_cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // The source of an io::Error is the source of the error that it wraps. Look at the wrapped error first.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_found_inside_an_io_error() {
        let inner = rustls::Error::NoApplicationProtocol;
        let wrapped = io::Error::other(io::Error::other(inner.clone()));
        assert_eq!(find_cause::<rustls::Error>(&wrapped), Some(&inner));
        assert_eq!(find_cause::<rustls::Error>(&io::Error::other("else")), None);
    }
}
