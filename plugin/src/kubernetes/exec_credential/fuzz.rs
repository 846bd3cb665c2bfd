//! The output of credential programs.

use super::parse;
use crate::{error::explain, kubernetes::kubeconfig};

const VERSION: &str = "client.authentication.k8s.io/v1";

#[test]
fn no_output_of_a_program_makes_the_plugin_panic_or_is_shown() {
    let seeds = [
        format!(r#"{{"apiVersion": "{VERSION}", "kind": "ExecCredential", "status": {{"token": "s3cret"}}}}"#),
        format!(
            "apiVersion: {VERSION}\nkind: ExecCredential\nstatus:\n  clientCertificateData: |\n    PEM\n  clientKeyData: s3cret\n"
        ),
    ];
    let words = ["status:", "{", "[", "&x ", "*x", "!!str ", "|\n", "~", "\"", "null"];
    fuzz::target("output of credential programs").seeds(seeds).words(words).bytes(|input| {
        match parse(input, "aws".into(), VERSION) {
            Ok(credentials) => {
                assert!(credentials.token.is_some() || credentials.pair.is_some());
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
