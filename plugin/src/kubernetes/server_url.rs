//! The URL of an API server, as client-go reads it.

use hyper::http::Uri;
use percent_encoding::percent_decode_str;

/// A URL without what must not be printed. It has no debug output, since it keeps the password.
pub(super) struct Url {
    /// The scheme, the host, the port if it is given, and the path.
    pub(super) uri: Uri,
    /// The user name and the password.
    pub(super) credentials: Option<(String, String)>,
}

impl Url {
    /// Reads a URL, or HOST or HOST:PORT, which mean HTTP: client-go decides about TLS before it looks at the CA.
    pub(super) fn of_server(text: &str) -> Option<Self> {
        let url = match split_scheme(text) {
            Some((scheme, rest)) if !authority(rest).is_empty() => Self::new(scheme, rest)?,
            _ => {
                let url = Self::new("http", text)?;
                (url.uri.path() == "/").then_some(url)?
            }
        };
        matches!(url.uri.scheme_str(), Some("http" | "https")).then_some(url)
    }

    /// Reads what follows `SCHEME://`. A query and a fragment are ignored.
    pub(super) fn new(scheme: &str, rest: &str) -> Option<Self> {
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let authority = authority(rest);
        let (user_info, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let decode = |text: &str| percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned());
        let credentials = match user_info {
            Some(user_info) => {
                let (name, password) = user_info.split_once(':').unwrap_or((user_info, ""));
                Some((decode(name)?, decode(password)?))
            }
            None => None,
        };
        let path = &rest[authority.len()..];
        let uri: Uri = format!("{}://{host}{path}", scheme.to_ascii_lowercase()).parse().ok()?;
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        has_host.then_some(Self { uri, credentials })
    }

    /// The host, without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        self.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }
}

/// Splits off a scheme: a letter, then letters, digits, `+`, `-` and `.`.
pub(super) fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme.then_some((scheme, rest))
}

fn authority(rest: &str) -> &str {
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_kubectl_reads_them() {
        for (text, expected) in [
            ("https://a:6443", Some("https://a:6443/")),
            ("HTTPS://a", Some("https://a/")),
            ("localhost:8080", Some("http://localhost:8080/")),
            ("10.0.0.1", Some("http://10.0.0.1/")),
            ("[::1]:80", Some("http://[::1]:80/")),
            ("https://a/k8s/clusters/c-1?x=y#z", Some("https://a/k8s/clusters/c-1")),
            ("https://me:s3cret@a:1/", Some("https://a:1/")),
            ("localhost:8080/path", None),
            ("ftp://a", None),
            ("unix:///run/socket", None),
            ("https://", None),
            ("https:///path", None),
            ("https://a b", None),
            ("", None),
        ] {
            let uri = Url::of_server(text).map(|url| url.uri.to_string());
            assert_eq!(uri.as_deref(), expected, "{text}");
        }
        let url = Url::of_server("https://me:p%40ss@a").unwrap();
        assert_eq!(url.credentials, Some(("me".to_owned(), "p@ss".to_owned())));
        assert_eq!(Url::of_server("https://[::1]:6443").unwrap().host(), "::1");
    }
}
