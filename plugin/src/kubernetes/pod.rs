//! The pod in which this program runs, as client-go's `tools/clientcmd` sees it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use hyper::http::Uri;
use kube::{Config, config::InClusterError};

use super::system_roots;

/// The kubelet sets these variables in every pod. client-go takes them, together with the token of the service account,
/// as the sign that it runs in one.
const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";

/// kubectl prefers this variable to the namespace of the service account.
const NAMESPACE: &str = "POD_NAMESPACE";

/// The folder with the token, the CA and the namespace of the service account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A pod with a service account.
pub(super) struct Pod {
    /// The namespace that the variable names, if it names one.
    named: String,
    host: String,
    port: String,
    account: PathBuf,
}

impl Pod {
    /// The pod in which this program runs, if it runs in one and can log in to the API server from there.
    pub(super) fn current() -> Option<Self> {
        Self::of(|name| env::var(name).unwrap_or_default(), Path::new(ACCOUNT))
    }

    fn of(variable: impl Fn(&str) -> String, account: &Path) -> Option<Self> {
        let (host, port) = (variable(HOST), variable(PORT));
        let has_token = || fs::metadata(account.join("token")).is_ok_and(|token| !token.is_dir());
        let is_pod = !host.is_empty() && !port.is_empty() && has_token();
        is_pod.then(|| Self { named: variable(NAMESPACE), host, port, account: account.to_owned() })
    }

    /// How to reach the API server, with the token of the service account. If no CA of the service account can be read,
    /// those of the machine count, as in client-go.
    pub(super) fn config(&self) -> Result<Config, InClusterError> {
        let port: u16 = self.port.parse().map_err(InClusterError::ParseClusterPort)?;
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let url: Uri = format!("https://{host}:{port}").parse().map_err(InClusterError::ParseClusterUrl)?;
        let mut config = Config::new(url);
        let ca = fs::read(self.account.join("ca.crt")).map(|pem| system_roots::usable(&pem));
        config.root_cert = ca.ok().filter(|usable| !usable.is_empty());
        config.auth_info.token_file = Some(self.account.join("token").display().to_string());
        Ok(config)
    }

    /// The namespace of the pod.
    pub(super) fn namespace(&self) -> String {
        let of_account = || fs::read_to_string(self.account.join("namespace")).unwrap_or_default().trim().to_owned();
        let known = if self.named.is_empty() { of_account() } else { self.named.clone() };
        if known.is_empty() { "default".to_owned() } else { known }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn a_pod_reaches_the_api_server_of_its_variables_and_trusts_the_ca_of_its_account() {
        let account = env::temp_dir().join(format!("pod-config-{}", std::process::id()));
        fs::create_dir_all(&account).unwrap();
        let ca = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        let token = account.join("token").display().to_string();
        for (name, host, port, ca, expected) in [
            ("no CA", "10.0.0.1", "443", None, Some(("https://10.0.0.1:443/", None))),
            ("no certificate", "10.0.0.1", "443", Some("none"), Some(("https://10.0.0.1:443/", None))),
            ("a CA", "10.0.0.1", "6443", Some(ca.as_str()), Some(("https://10.0.0.1:6443/", Some(1)))),
            ("IPv6", "fd00::1", "443", Some(ca.as_str()), Some(("https://[fd00::1]:443/", Some(1)))),
            ("a name", "api.test", "443", Some(ca.as_str()), Some(("https://api.test:443/", Some(1)))),
            ("no host", "a b", "443", None, None),
            ("no port", "10.0.0.1", "https", None, None),
        ] {
            let _ = fs::remove_file(account.join("ca.crt"));
            ca.into_iter().for_each(|ca| fs::write(account.join("ca.crt"), ca).unwrap());
            let [host, port] = [host, port].map(str::to_owned);
            let config = Pod { named: String::new(), host, port, account: account.clone() }.config().ok();
            let tokens = config.as_ref().map(|config| config.auth_info.token_file.as_ref() == Some(&token));
            assert_eq!(tokens, expected.map(|_| true), "{name}");
            let reached = config.map(|config| (config.cluster_url.to_string(), config.root_cert.map(|it| it.len())));
            let expected = expected.map(|(url, certificates)| (url.to_owned(), certificates));
            assert_eq!(reached, expected, "{name}");
        }
        fs::remove_dir_all(&account).unwrap();
    }

    #[test]
    fn a_pod_has_an_api_server_and_a_token_and_its_namespace_is_that_of_the_variable_or_of_the_account() {
        let folder = env::temp_dir().join(format!("pod-{}", std::process::id()));
        let files = |name: &str, namespace: Option<&str>| {
            let account = folder.join(name);
            fs::create_dir_all(&account).unwrap();
            fs::write(account.join("token"), "s3cret").unwrap();
            namespace.into_iter().for_each(|namespace| fs::write(account.join("namespace"), namespace).unwrap());
            account
        };
        let account = files("account", Some("shop\n"));
        let [unnamed, empty] = [files("unnamed", None), files("empty", Some("\n"))];
        let no_token = folder.join("none");
        fs::create_dir_all(folder.join("folder").join("token")).unwrap();
        for (name, variables, account, expected) in [
            ("a pod", ["10.0.0.1", "443", ""], &account, Some("shop")),
            ("a variable", ["10.0.0.1", "443", "test"], &account, Some("test")),
            ("no namespace", ["10.0.0.1", "443", ""], &unnamed, Some("default")),
            ("an empty namespace", ["10.0.0.1", "443", ""], &empty, Some("default")),
            ("no host", ["", "443", "test"], &account, None),
            ("no port", ["10.0.0.1", "", "test"], &account, None),
            ("no token", ["10.0.0.1", "443", "test"], &no_token, None),
            ("a folder instead of the token", ["10.0.0.1", "443", "test"], &folder.join("folder"), None),
        ] {
            let variable = |name: &str| {
                let position = [HOST, PORT, NAMESPACE].iter().position(|known| *known == name);
                position.map_or("", |position| variables[position]).to_owned()
            };
            let namespace = Pod::of(variable, account).map(|pod| pod.namespace());
            assert_eq!(namespace.as_deref(), expected, "{name}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
