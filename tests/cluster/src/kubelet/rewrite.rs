//! Rewrites a container's arguments and environment for a process without a container.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The paths and addresses that differ between a container and its process.
#[derive(Clone, Debug, Default)]
pub(super) struct Rewrites {
    /// The folder of each mount path.
    pub(super) mounts: BTreeMap<String, PathBuf>,
    /// The port of this machine for each port of the container.
    pub(super) ports: BTreeMap<u16, u16>,
    /// The address of a pod for each address of a Service.
    pub(super) services: BTreeMap<String, SocketAddr>,
}

impl Rewrites {
    /// Rewrites a value that is as a whole a path or an address: `PATH`, `--flag=PATH`, `[::]:PORT`, `--flag=:PORT` and
    /// the like.
    pub(super) fn apply(&self, value: &str) -> String {
        let (flag, rest) = split_flag(value);
        let service = self.services.get(rest).map(ToString::to_string);
        let value = service.or_else(|| self.address(rest)).or_else(|| self.path(rest));
        flag.to_owned() + value.as_deref().unwrap_or(rest)
    }

    /// All pods share the machine's address, so a listener on all addresses gets its own port.
    fn address(&self, value: &str) -> Option<String> {
        let (host, port) = value.rsplit_once(':')?;
        let port = self.ports.get(&port.parse().ok()?)?;
        matches!(host, "" | "[::]" | "0.0.0.0" | "127.0.0.1").then(|| format!("127.0.0.1:{port}"))
    }

    /// The longest mount path wins, as in a container.
    fn path(&self, value: &str) -> Option<String> {
        let inside = |mount: &str| value.strip_prefix(mount).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let found = self.mounts.iter().filter_map(|(mount, folder)| Some((mount.len(), folder, inside(mount)?)));
        let (_, folder, rest) = found.max_by_key(|(length, ..)| *length)?;
        Some(format!("{}{rest}", folder.display()))
    }
}

/// Splits `--flag=VALUE` before the value. Other words are values as a whole.
pub(super) fn split_flag(word: &str) -> (&str, &str) {
    match word.find('=') {
        Some(end) if word.starts_with('-') => word.split_at(end + 1),
        _ => ("", word),
    }
}

/// Replaces `$(NAME)` by the variable's value and `$$` by `$`. Unknown names stay unchanged.
pub(super) fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        expanded.push_str(&rest[..start]);
        rest = &rest[start..];
        let name = rest.strip_prefix("$(").and_then(|rest| rest.split_once(')'));
        if let Some((value, after)) = name.and_then(|(name, after)| Some((variables.get(name)?, after))) {
            expanded.push_str(value);
            rest = after;
        } else {
            expanded.push('$');
            rest = rest.strip_prefix("$$").unwrap_or(&rest[1..]);
        }
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrites() -> Rewrites {
        let mounts = [("/etc/tls", "/pod/tls"), ("/etc/tls/ca", "/pod/ca")];
        Rewrites {
            mounts: mounts.map(|(mount, folder)| (mount.to_owned(), folder.into())).into(),
            ports: [(8080, 20_001)].into(),
            services: [("web.shop.svc:8080".to_owned(), ([127, 0, 0, 1], 20_002).into())].into(),
        }
    }

    #[test]
    fn values_are_rewritten_where_they_are_whole() {
        let cases = [
            ("[::]:8080", "127.0.0.1:20001"),
            ("0.0.0.0:8080", "127.0.0.1:20001"),
            ("--grpc-address=:8080", "--grpc-address=127.0.0.1:20001"),
            ("[::]:9999", "[::]:9999"),
            ("example.com:8080", "example.com:8080"),
            ("/etc/tls", "/pod/tls"),
            ("--cert-file=/etc/tls/tls.crt", "--cert-file=/pod/tls/tls.crt"),
            ("/etc/tls/ca/ca.crt", "/pod/ca/ca.crt"),
            ("/etc/tlsx", "/etc/tlsx"),
            ("web.shop.svc:8080", "127.0.0.1:20002"),
            ("--address=web.shop.svc:8080", "--address=127.0.0.1:20002"),
            ("--server-name=web.shop.svc", "--server-name=web.shop.svc"),
            ("info,kube=warn", "info,kube=warn"),
        ];
        for (value, expected) in cases {
            assert_eq!(rewrites().apply(value), expected);
        }
    }

    #[test]
    fn variables_are_expanded_as_kubernetes_does() {
        let variables = [("POD".to_owned(), "web-0".to_owned())].into();
        let cases = [("$(POD).svc", "web-0.svc"), ("$(NONE)", "$(NONE)"), ("$$(POD)", "$(POD)"), ("5$", "5$")];
        for (text, expected) in cases {
            assert_eq!(expand(text, &variables), expected);
        }
    }
}
