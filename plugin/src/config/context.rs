//! Kube contexts in messages and in help.

/// Describes a context. A pod's service account has an empty one.
pub(crate) fn describe(context: &str) -> String {
    match context {
        "" => "the service account of this pod".to_owned(),
        context => format!("the context {context}"),
    }
}

/// An example of a context's entry in the configuration file.
pub(crate) fn example(context: &str) -> String {
    format!(
        "    contexts:\n      {context}:\n        ca: /path/to/ca.crt\n        certificate: /path/to/client.crt\n        \
         key: /path/to/client.key"
    )
}
