//! Flags that replace fields of the cluster and the user. Those that kubectl 1.30 does not have are not here.

use super::{ALICE, API, Expected, Expected::*, IS_ALICE, Row};

/// A server that does not exist.
const DEAD: &str = "server: 'https://127.0.0.1:9', certificate-authority: '$CA'";

/// A row without a kubeconfig.
fn alone(name: &'static str, expected: Expected) -> Row {
    Row::new(name, expected, "").variable("KUBECONFIG", "$HERE/none")
}

/// The API server, its name, and the check of its certificate.
pub(super) fn of_cluster() -> Vec<Row> {
    let other_name = format!("{DEAD}, tls-server-name: other");
    let other_ca = "server: '$SERVER', certificate-authority: '$FILE(ec.crt)'";
    let other_data = "server: '$SERVER', certificate-authority-data: $DATA(ec.crt)";
    vec![
        Row::cluster("another server", IS_ALICE, DEAD).flag("--server=$SERVER"),
        Row::cluster("another server, by its letter", IS_ALICE, DEAD).flag("-s").flag("$SERVER"),
        Row::cluster("an empty server", IS_ALICE, API).flag("--server="),
        Row::cluster("another server has another name", IS_ALICE, &other_name).flag("--server=$SERVER"),
        Row::cluster("another server with a name", IS_ALICE, &other_name)
            .flag("--server=https://0.0.0.0:$PORT")
            .flag("--tls-server-name=kubernetes"),
        Row::cluster("a name", IS_ALICE, &format!("{API}, tls-server-name: other"))
            .flag("--tls-server-name=kubernetes"),
        Row::cluster("another name", Refused, API).flag("--tls-server-name=other"),
        Row::cluster("no check", IS_ALICE, other_ca).flag("--insecure-skip-tls-verify"),
        Row::cluster("no check with data", IS_ALICE, other_data).flag("--insecure-skip-tls-verify=true"),
        Row::cluster("a check", Refused, other_ca).flag("--insecure-skip-tls-verify=false"),
        Row::cluster("no address", Refused, API).flag("--server=ftp://me:s3cret@127.0.0.1"),
        alone("an API server without TLS and a kubeconfig", User("admin")).flag("--server=http://$PLAIN"),
        alone("an API server and a token without a kubeconfig", IS_ALICE)
            .flag("--server=$SERVER")
            .flag("--insecure-skip-tls-verify")
            .flag("--token=token-alice-s3cret"),
        Row::new(
            "a server and a user without a context",
            IS_ALICE,
            format!("users: [{{name: u, user: {{{ALICE}}}}}]\n"),
        )
        .flag("--server=$SERVER")
        .flag("--user=u")
        .flag("--insecure-skip-tls-verify"),
    ]
}

/// The token.
pub(super) fn of_user() -> Vec<Row> {
    let token = "--token=token-alice-s3cret";
    let program = "exec: {command: none, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}";
    vec![
        Row::user("a token alone", IS_ALICE, "").flag(token),
        Row::user("a token before that of the kubeconfig", IS_ALICE, "token: token-bob-s3cret").flag(token),
        Row::user("a token file before a token", User("bob"), "tokenFile: token")
            .file("token", "token-bob-s3cret")
            .flag(token),
        Row::user("a token before a program", IS_ALICE, program).flag(token),
        Row::user("a token and a password", Refused, "username: me, password: s3cret").flag(token),
        Row::user("an unknown token", Refused, "").flag("--token=s3cret"),
        Row::user("a token with a line break", Refused, "").flag("--token=s3cret\n"),
    ]
}
