//! Names as Kubernetes takes them from DNS (RFC 1123).

/// The longest label that DNS allows.
const MAX_LABEL: usize = 63;

/// The longest name that Kubernetes accepts.
const MAX_SUBDOMAIN: usize = 253;

/// Whether the text is a DNS label, as the names of namespaces and Services are.
pub(crate) fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && has_characters_of_label(text)
}

/// Whether the text is a DNS subdomain, as the names of objects and API groups are.
///
/// Like Kubernetes, it does not limit the length of a single label.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_SUBDOMAIN && text.split('.').all(has_characters_of_label)
}

fn has_characters_of_label(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && !text.starts_with('-') && !text.ends_with('-') && text.bytes().all(is_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subdomain_is_made_of_labels() {
        for (text, is_a_label, is_a_subdomain) in [
            ("web", true, true),
            ("web-1", true, true),
            ("web.v1", false, true),
            ("", false, false),
            ("-web", false, false),
            ("web-", false, false),
            ("a..b", false, false),
            ("Web", false, false),
        ] {
            assert_eq!((is_label(text), is_subdomain(text)), (is_a_label, is_a_subdomain), "{text:?}");
        }
        let long = "a".repeat(MAX_LABEL + 1);
        assert!(!is_label(&long) && is_subdomain(&long));
        assert!(!is_subdomain(&"a".repeat(MAX_SUBDOMAIN + 1)));
    }
}
