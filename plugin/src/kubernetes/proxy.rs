//! The proxy to the API server, chosen as Go's `golang.org/x/net/http/httpproxy` chooses it.
//!
//! Addresses of proxies hold passwords, so no error and no debug output shows one.

use std::{env, net::IpAddr};

use hyper::http::Uri;
use ipnet::IpNet;

use super::server_url::{Url, split_scheme};

/// Why a proxy cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the address in {origin} is no URL")]
    NoUrl { origin: &'static str },
    #[error("the address in {origin} has the scheme {scheme:?}")]
    Scheme { origin: &'static str, scheme: String },
    #[error("HTTP_PROXY is not used where REQUEST_METHOD is set, since a client of a CGI program could have set it")]
    Cgi,
}

impl Error {
    /// What the user can do.
    pub(super) fn hint(&self) -> String {
        match self {
            Self::NoUrl { .. } | Self::Scheme { .. } => {
                "give a URL like http://HOST:PORT; the scheme may also be https, socks5 or, in the environment, socks5h"
                    .to_owned()
            }
            Self::Cgi => "unset REQUEST_METHOD, or name the proxy in the kubeconfig as proxy-url".to_owned(),
        }
    }
}

/// The protocol that a proxy speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Protocol {
    /// CONNECT over TCP.
    Http,
    /// CONNECT over TLS.
    Https,
    /// SOCKS version 5. The proxy resolves the name of the API server.
    Socks,
}

/// A proxy.
#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) protocol: Protocol,
    /// Its host and port. The scheme says only whether to speak TLS.
    pub(super) uri: Uri,
    /// The user name and the password.
    pub(super) credentials: Option<(String, String)>,
}

impl Proxy {
    fn new(origin: &'static str, scheme: &str, rest: &str) -> Result<Self, Error> {
        let scheme = scheme.to_ascii_lowercase();
        let (protocol, transport, port) = match scheme.as_str() {
            "http" => (Protocol::Http, "http", 80),
            "https" => (Protocol::Https, "https", 443),
            "socks5" | "socks5h" => (Protocol::Socks, "http", 1080),
            _ => return Err(Error::Scheme { origin, scheme }),
        };
        let url = Url::new(transport, rest).ok_or(Error::NoUrl { origin })?;
        let (host, port) = (url.uri.host().unwrap_or_default(), url.uri.port_u16().unwrap_or(port));
        let uri = format!("{transport}://{host}:{port}").parse().map_err(|_| Error::NoUrl { origin })?;
        Ok(Self { protocol, uri, credentials: url.credentials })
    }

    /// Reads the `proxy-url` of a kubeconfig.
    pub(super) fn of_kubeconfig(text: &str) -> Result<Self, Error> {
        const ORIGIN: &str = "the kubeconfig's proxy-url";
        match split_scheme(text) {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("socks5h") => {
                Err(Error::Scheme { origin: ORIGIN, scheme: scheme.to_owned() })
            }
            Some((scheme, rest)) => Self::new(ORIGIN, scheme, rest),
            None => Err(Error::NoUrl { origin: ORIGIN }),
        }
    }

    /// The proxy that the environment names for a server.
    pub(super) fn of_environment(server: &Url) -> Result<Option<Self>, Error> {
        Environment::read().proxy(server)
    }
}

/// The variables that choose a proxy.
#[derive(Default)]
struct Environment {
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    request_method: String,
}

impl Environment {
    fn read() -> Self {
        let any = |names: [&str; 2]| {
            names.into_iter().find_map(|name| env::var(name).ok().filter(|value| !value.is_empty())).unwrap_or_default()
        };
        Self {
            http_proxy: any(["HTTP_PROXY", "http_proxy"]),
            https_proxy: any(["HTTPS_PROXY", "https_proxy"]),
            no_proxy: any(["NO_PROXY", "no_proxy"]),
            request_method: env::var("REQUEST_METHOD").unwrap_or_default(),
        }
    }

    fn proxy(&self, server: &Url) -> Result<Option<Proxy>, Error> {
        let is_https = server.uri.scheme_str() == Some("https");
        let (origin, text) = match is_https {
            true => ("HTTPS_PROXY", &self.https_proxy),
            false => ("HTTP_PROXY", &self.http_proxy),
        };
        if text.is_empty() {
            return Ok(None);
        }
        if !is_https && !self.request_method.is_empty() {
            return Err(Error::Cgi);
        }
        let port = server.uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        if self.is_excluded(server.host(), port) {
            return Ok(None);
        }
        let (scheme, rest) = split_scheme(text).unwrap_or(("http", text));
        Proxy::new(origin, scheme, rest).map(Some)
    }

    fn is_excluded(&self, host: &str, port: u16) -> bool {
        let address: Option<IpAddr> = host.parse().ok().map(|address: IpAddr| address.to_canonical());
        if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return true;
        }
        let host = host.to_lowercase();
        self.no_proxy.split(',').any(|entry| excludes(&entry.trim().to_lowercase(), &host, address, port))
    }
}

/// Whether an entry of NO_PROXY excludes a host. One that cannot be read excludes none.
fn excludes(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Ok(network) = entry.parse::<IpNet>() {
        return address.is_some_and(|address| network.contains(&address));
    }
    let (name, for_port) = split_port(entry);
    let is_port = for_port.is_none_or(|text| text.is_empty() || text == port.to_string());
    if let Ok(excluded) = name.parse::<IpAddr>() {
        return is_port && address == Some(excluded.to_canonical());
    }
    let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    if name.is_empty() || address.is_some() {
        return false;
    }
    let is_host = match name.strip_prefix('.') {
        Some(_) => host.ends_with(name),
        None => host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')),
    };
    is_port && is_host
}

/// Splits HOST:PORT or [HOST]:PORT. Anything else has no port.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    let bracketed = entry.strip_prefix('[').and_then(|rest| rest.split_once("]:"));
    let plain = entry.split_once(':').filter(|(_, port)| !port.contains(':'));
    match bracketed.or(plain) {
        Some((host, port)) => (host, Some(port)),
        None => (entry, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(https_proxy: &str, no_proxy: &str) -> Environment {
        Environment { https_proxy: https_proxy.to_owned(), no_proxy: no_proxy.to_owned(), ..Environment::default() }
    }

    #[test]
    fn no_proxy_is_read_as_go_reads_it() {
        for (no_proxy, server, is_excluded) in [
            ("", "https://a.test", false),
            ("", "https://localhost:1", true),
            ("", "https://127.9.9.9", true),
            ("", "https://[::1]:6443", true),
            ("*", "https://a.test", true),
            ("x,*", "https://10.0.0.1", true),
            ("test", "https://a.test", true),
            ("a.test", "https://a.test", true),
            (".a.test", "https://a.test", false),
            (".a.test", "https://b.a.test", true),
            ("*.a.test", "https://b.a.test", true),
            ("*.a.test", "https://a.test", false),
            ("b.test", "https://ab.test", false),
            (" A.TEST ", "https://a.test", true),
            ("a.test:6443", "https://a.test:6443", true),
            ("a.test:6443", "https://a.test", false),
            ("a.test:443", "https://a.test", true),
            ("10.0.0.1", "https://10.0.0.1", true),
            ("10.0.0.1:1", "https://10.0.0.1", false),
            ("[fd00::1]:443", "https://[fd00::1]", true),
            ("fd00::1", "https://[fd00::1]", true),
            ("10.0.0.0/8", "https://10.1.2.3", true),
            ("10.1.2.3/8", "https://10.9.9.9", true),
            ("10.0.0.0/8", "https://11.1.2.3", false),
            ("10.0.0.0/99,a.test", "https://a.test", true),
            (":443,,[,a.test", "https://a.test", true),
            ("10.0.0", "https://10.0.0.1", false),
        ] {
            let proxy = environment("proxy:3128", no_proxy).proxy(&Url::of_server(server).unwrap());
            assert_eq!(proxy.unwrap().is_none(), is_excluded, "{no_proxy} {server}");
        }
    }

    #[test]
    fn addresses_of_proxies_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("http://a:3128", Some((Protocol::Http, "http://a:3128/"))),
            ("a:3128", Some((Protocol::Http, "http://a:3128/"))),
            ("a", Some((Protocol::Http, "http://a:80/"))),
            ("me:s3cret@a:3128", Some((Protocol::Http, "http://a:3128/"))),
            ("https://a", Some((Protocol::Https, "https://a:443/"))),
            ("socks5://a", Some((Protocol::Socks, "http://a:1080/"))),
            ("SOCKS5H://me:s3cret@[::1]", Some((Protocol::Socks, "http://[::1]:1080/"))),
            ("socks4://me:s3cret@a", None),
            ("http://me:s3cret@", None),
            ("http://me:s3cret@a b", None),
        ] {
            let proxy = environment(text, "").proxy(&Url::of_server("https://api.test").unwrap());
            let shown =
                proxy.as_ref().ok().and_then(Option::as_ref).map(|proxy| (proxy.protocol, proxy.uri.to_string()));
            assert_eq!(shown, expected.map(|(protocol, uri)| (protocol, uri.to_owned())), "{text}");
            if let Err(error) = proxy {
                assert!(!format!("{error} {error:?} {}", error.hint()).contains("s3cret"), "{error:?}");
            }
        }
    }
}
