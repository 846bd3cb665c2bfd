//! The flags that replace fields of the chosen cluster and user, by the rules of client-go's `client_config.go`.

use super::entries::{Cluster, User};
use crate::args::OverrideArgs;

impl OverrideArgs {
    /// Replaces fields of a cluster. Another server needs another name in its certificate, and no check needs no CA.
    pub(super) fn replace_in_cluster(&self, cluster: &mut Cluster) {
        if let Some(server) = &self.server {
            cluster.server.clone_from(&server.0);
        }
        if self.server.is_some() || self.tls_server_name.is_some() {
            cluster.tls_server_name = self.tls_server_name.clone().unwrap_or_default();
        }
        if self.insecure_skip_tls_verify {
            cluster.insecure_skip_tls_verify = true;
            cluster.certificate_authority.clear();
            cluster.certificate_authority_data.clear();
        }
        if let Some(proxy) = &self.proxy_url {
            cluster.proxy_url.clone_from(&proxy.0);
        }
    }

    /// Replaces fields of a user. A file with a token stays, and comes before the token of the flag.
    pub(super) fn replace_in_user(&self, user: &mut User) {
        if let Some(token) = &self.token {
            user.token.clone_from(&token.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Secret;

    fn secret(text: &str) -> Option<Secret> {
        Some(Secret(text.to_owned()))
    }

    #[test]
    fn flags_replace_the_fields_of_a_cluster_and_those_that_depend_on_them() {
        let none = OverrideArgs::default;
        for (name, flags, expected) in [
            ("none", none(), ("https://a", "a.test", false, "ca.crt", 2, "")),
            ("the server", OverrideArgs { server: secret("b"), ..none() }, ("b", "", false, "ca.crt", 2, "")),
            (
                "the name",
                OverrideArgs { tls_server_name: Some("b.test".to_owned()), ..none() },
                ("https://a", "b.test", false, "ca.crt", 2, ""),
            ),
            (
                "both",
                OverrideArgs { server: secret("b"), tls_server_name: Some("b.test".to_owned()), ..none() },
                ("b", "b.test", false, "ca.crt", 2, ""),
            ),
            (
                "no check",
                OverrideArgs { insecure_skip_tls_verify: true, ..none() },
                ("https://a", "a.test", true, "", 0, ""),
            ),
            (
                "a proxy",
                OverrideArgs { proxy_url: secret("http://p"), ..none() },
                ("https://a", "a.test", false, "ca.crt", 2, "http://p"),
            ),
        ] {
            let mut cluster = Cluster {
                server: "https://a".to_owned(),
                tls_server_name: "a.test".to_owned(),
                certificate_authority: "ca.crt".to_owned(),
                certificate_authority_data: b"CA".to_vec(),
                ..Cluster::default()
            };
            flags.replace_in_cluster(&mut cluster);
            let Cluster { server, tls_server_name, certificate_authority, proxy_url, .. } = &cluster;
            let texts = [server, tls_server_name, certificate_authority, proxy_url].map(String::as_str);
            let (is_insecure, data) = (cluster.insecure_skip_tls_verify, cluster.certificate_authority_data.len());
            let replaced = (texts[0], texts[1], is_insecure, texts[2], data, texts[3]);
            assert_eq!(replaced, expected, "{name}");
        }
    }

    #[test]
    fn a_token_replaces_only_the_token_of_a_user() {
        let mut user = User { token: "a".to_owned(), token_file: "file".to_owned(), ..User::default() };
        OverrideArgs { token: secret("b"), ..OverrideArgs::default() }.replace_in_user(&mut user);
        assert_eq!((user.token.as_str(), user.token_file.as_str()), ("b", "file"));
    }
}
