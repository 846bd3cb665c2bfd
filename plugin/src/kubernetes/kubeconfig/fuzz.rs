//! Kubeconfigs.

use fuzz::x509::fixtures;
use k8s_openapi::ByteString;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use tokio::runtime::Builder;

use super::{Choice, Error};
use crate::{error::explain, yaml::Mistake};

/// A kubeconfig without paths, since mutated paths could name any file of this machine.
fn seed() -> String {
    let ca = serde_json::json!(ByteString(fixtures().unwrap().ca.certificate.into_bytes()));
    format!(
        "apiVersion: v1
kind: Config
current-context: a
contexts:
- name: a
  context: {{cluster: c, user: u, namespace: shop}}
- {{name: b, context: {{cluster: c, user: v}}}}
clusters:
- name: c
  cluster: {{server: 'https://127.0.0.1:6443', certificate-authority-data: {ca}, proxy-url: 'http://127.0.0.1:3128'}}
users:
- {{name: u, user: {{token: s3cret}}}}
- {{name: v, user: {{exec: {{command: aws, args: [eks, get-token], env: [{{name: A, value: b}}]}}}}}}
"
    )
}

#[test]
fn no_kubeconfig_makes_the_plugin_panic_or_shows_a_token() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let words = ["- ", "{", "[", "&x ", "*x", "<<: *x", "~", "---\n", "!!binary ", "'", "https://", "[::1]"];
    fuzz::target("kubeconfig").seeds([seed().as_str(), "{}", "current-context: a"]).words(words).text(|text| {
        let kubeconfig = match Kubeconfig::from_yaml(text) {
            Ok(kubeconfig) => kubeconfig,
            Err(KubeconfigError::Parse(error)) => {
                let error = Error::Parse { path: "config".into(), source: Mistake::from(error.as_ref()) };
                let error = crate::error::Error::from(crate::kubernetes::Error::from(error));
                assert!(!explain("error", &error).contains("s3cret"), "a token is shown");
                return false;
            }
            Err(_) => return false,
        };
        let _ = kubeconfig.clone().merge(kubeconfig.clone());
        let choice = Choice { kubeconfig, options: KubeConfigOptions::default() };
        let _ = (choice.has_proxy(), choice.namespace());
        match choice.check() {
            Ok(()) => drop(runtime.block_on(choice.config())),
            Err(error) => drop((error.hint(), error.to_string())),
        }
        true
    });
}
