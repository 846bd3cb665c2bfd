//! Kubeconfigs.

use std::path::Path;

use fuzz::x509::fixtures;
use k8s_openapi::ByteString;

use super::{Choice, file::parse};
use crate::{args::KubeArgs, error::explain, kubernetes::exec_credential::Manners};

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
  cluster: {{server: 'https://127.0.0.1:6443', certificate-authority-data: {ca}, proxy-url: 'http://me:s3cret@127.0.0.1:3128'}}
users:
- {{name: u, user: {{token: s3cret}}}}
- {{name: v, user: {{username: me, password: s3cret, as: you, as-groups: [a], as-user-extra: {{x: [y]}}}}}}
"
    )
}

#[test]
fn no_kubeconfig_makes_the_plugin_panic_or_shows_a_token() {
    let words = ["- ", "{", "[", "&x ", "*x", "<<: *x", "~", "---\n", "!!binary ", "'", "https://", "[::1]"];
    let hide = |error: super::Error| {
        let error = crate::error::Error::from(crate::kubernetes::Error::from(error));
        assert!(!explain("error", &error).contains("s3cret"), "a secret is shown");
    };
    fuzz::target("kubeconfig").seeds([seed().as_str(), "{}", "current-context: a"]).words(words).text(|text| {
        let kubeconfig = match parse(text, Path::new("config")) {
            Ok(kubeconfig) => kubeconfig.clone().merge(kubeconfig),
            Err(error) => {
                hide(error.into());
                return false;
            }
        };
        match Choice::choose(&kubeconfig, None, &KubeArgs::default(), String::new()) {
            // A mutation could name a program.
            Ok(choice) if choice.user.exec.is_some() => {}
            Ok(choice) => drop((choice.namespace(), choice.connect(Manners::Open).map_err(hide))),
            Err(error) => hide(error),
        }
        true
    });
}
