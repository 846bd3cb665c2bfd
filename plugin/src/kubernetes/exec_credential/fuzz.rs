//! The output of credential programs.

use super::{base64, parse};
use crate::{error::explain, kubernetes::kubeconfig};

#[test]
fn no_output_of_a_program_makes_the_plugin_panic_or_is_shown() {
    let seeds = [
        r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "s3cret"}}"#,
        "status:\n  clientCertificateData: |\n    PEM\n  clientKeyData: s3cret\n",
    ];
    let words = ["status:", "{", "[", "&x ", "*x", "!!str ", "|\n", "~", "\"", "null"];
    fuzz::target("output of credential programs").seeds(seeds).words(words).bytes(|input| {
        match parse("aws".into(), input) {
            Ok(status) => {
                let _ = [status.token, status.client_certificate_data, status.client_key_data].map(|it| it.map(base64));
                true
            }
            Err(error) => {
                let error = crate::error::Error::from(crate::kubernetes::Error::from(kubeconfig::Error::from(error)));
                assert!(!explain("error", &error).contains("s3cret"), "it is shown");
                false
            }
        }
    });
}
