//! The pod in which this program runs, as client-go's `tools/clientcmd` sees it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The kubelet sets these variables in every pod. client-go takes them, together with the token of the service account,
/// as the sign that it runs in one.
const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";

/// kubectl prefers this variable to the namespace of the service account.
const NAMESPACE: &str = "POD_NAMESPACE";

/// The folder with the token and the namespace of the service account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A pod with a service account.
pub(super) struct Pod {
    /// The namespace that the variable names, if it names one.
    named: String,
    account: PathBuf,
}

impl Pod {
    /// The pod in which this program runs, if it runs in one and can log in to the API server from there.
    pub(super) fn current() -> Option<Self> {
        Self::of(|name| env::var(name).unwrap_or_default(), Path::new(ACCOUNT))
    }

    fn of(variable: impl Fn(&str) -> String, account: &Path) -> Option<Self> {
        let is_named = [HOST, PORT].iter().all(|name| !variable(name).is_empty());
        let has_token = || fs::metadata(account.join("token")).is_ok_and(|token| !token.is_dir());
        (is_named && has_token()).then(|| Self { named: variable(NAMESPACE), account: account.to_owned() })
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
    use super::*;

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
