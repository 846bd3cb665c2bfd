//! Looking for a cause in a chain of errors.

use std::{error::Error, io};

/// Looks for an error of a type among the causes of another.
pub(super) fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // What an io::Error wraps is not among its sources, only the source of that.
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
        assert_eq!(find::<rustls::Error>(&wrapped), Some(&inner));
        assert_eq!(find::<rustls::Error>(&io::Error::other("else")), None);
    }
}
