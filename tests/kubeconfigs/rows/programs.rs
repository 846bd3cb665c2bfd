//! Credential programs.

use super::{API, Expected, Expected::*, IS_ALICE, Row, kubeconfig};

/// The fields that each program needs.
const V1: &str = "apiVersion: client.authentication.k8s.io/v1";

/// An answer with alice's token.
const ALICE: &str = r#"#!/bin/sh
echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "token-alice-s3cret"}}'
"#;

/// An answer with a certificate of version 1.
const CERTIFICATE: &str = r#"#!/bin/sh
indent() { sed 's/^/    /' "$1"; }
cat <<E
apiVersion: client.authentication.k8s.io/v1
kind: ExecCredential
status:
  clientCertificateData: |
$(indent '$FILE(v1.crt)')
  clientKeyData: |
$(indent '$FILE(KEY)')
E
"#;

/// A user with a program `cred`.
fn program(name: &'static str, expected: Expected, fields: &str, script: impl Into<String>) -> Row {
    let config = kubeconfig(API, &format!("exec: {{command: ./cred, {fields}}}"));
    Row::new(name, expected, config).file("cred", script.into())
}

/// A program of the current protocol that asks nothing.
fn quiet(name: &'static str, expected: Expected, script: impl Into<String>) -> Row {
    program(name, expected, &format!("{V1}, interactiveMode: Never"), script)
}

/// A program that answers this.
fn answer(name: &'static str, expected: Expected, answer: &str) -> Row {
    quiet(name, expected, format!("#!/bin/sh\ncat <<'E'\n{answer}\nE\n"))
}

/// A program that fails if a shell command does.
fn check(name: &'static str, fields: &str, command: &str) -> Row {
    let script = ALICE.replace("#!/bin/sh\n", &format!("#!/bin/sh\n{command} || exit 3\n"));
    program(name, IS_ALICE, &format!("{V1}, {fields}"), script)
}

/// What programs answer.
pub(super) fn answers() -> Vec<Row> {
    let head = format!("{V1}\nkind: ExecCredential\n");
    let status = |name, expected, status: &str| answer(name, expected, &format!("{head}status: {status}"));
    let token = "token: token-alice-s3cret";
    let pair = |name, expected, key: &str| quiet(name, expected, CERTIFICATE.replace("KEY)", &format!("{key})")));
    let beta = "apiVersion: client.authentication.k8s.io/v1beta1\nkind: ExecCredential";
    vec![
        quiet("a token", IS_ALICE, ALICE),
        status("a token in YAML", IS_ALICE, &format!("{{{token}}}")),
        status("a time", IS_ALICE, &format!("{{{token}, expirationTimestamp: '2099-01-01T00:00:00Z'}}")),
        status("no time", Refused, &format!("{{{token}, expirationTimestamp: soon}}")),
        status("a key without a certificate", Refused, &format!("{{{token}, clientKeyData: s3cret}}")),
        status("nothing", Refused, "{}"),
        status("a number", Refused, "{token: 7}"),
        pair("a certificate of version 1", User("carol-v1"), "v1.key"),
        pair("a certificate with another key", Refused, "rsa.key"),
        answer("no version", Refused, &format!("kind: ExecCredential\nstatus: {{{token}}}")),
        answer("no kind", IS_ALICE, &format!("{V1}\nstatus: {{{token}}}")),
        answer("another kind", Refused, &format!("{V1}\nkind: Secret\nstatus: {{{token}}}")),
        answer("another version", Refused, &format!("{beta}\nstatus: {{{token}}}")),
        answer("a bare token", Refused, "token-alice-s3cret"),
        quiet("a failure", Refused, "#!/bin/sh\necho 'log in first' >&2\nexit 1\n").shows("log in first"),
        quiet("words for people", IS_ALICE, ALICE.replace("sh\n", "sh\necho 'enter ABCD-EFGH' >&2\n"))
            .shows("enter ABCD-EFGH"),
    ]
}

/// What programs get.
pub(super) fn requests() -> Vec<Row> {
    let never = "interactiveMode: Never";
    let if_available = "interactiveMode: IfAvailable";
    let cluster = r#"case "$KUBERNETES_EXEC_INFO" in *'"server":"$SERVER"'*'"config":{"a":"b"}'*) ;; *) false;; esac"#;
    let with_cluster = kubeconfig(
        "server: '$SERVER', insecure-skip-tls-verify: true, extensions: [{name: client.authentication.k8s.io/exec, \
         extension: {a: b}}]",
        &format!("exec: {{command: ./cred, {V1}, {never}, provideClusterInfo: true}}"),
    );
    let not_interactive = r#"echo "$KUBERNETES_EXEC_INFO" | grep -q '"interactive":false'"#;
    let arguments = format!("{never}, args: [a, 'b c'], env: [{{name: A, value: d}}]");
    vec![
        check("no lines of a loop", if_available, "! read -r line"),
        check("no lines of a loop for one that never asks", never, "! read -r line"),
        check("no terminal", if_available, not_interactive),
        check("arguments and variables", &arguments, r#"test "$#$2$A" = '2b cd'"#),
        check("no cluster unless asked for", never, r#"! echo "$KUBERNETES_EXEC_INFO" | grep -q cluster"#),
        Row::new("the cluster", IS_ALICE, with_cluster)
            .file("cred", ALICE.replace("#!/bin/sh\n", &format!("#!/bin/sh\n{cluster} || exit 3\n"))),
    ]
}

/// How programs are named.
pub(super) fn names() -> Vec<Row> {
    let never = "interactiveMode: Never";
    let beta = ALICE.replace("io/v1", "io/v1beta1");
    let absent = |name, fields: &str| program(name, Refused, fields, ALICE);
    let named = |name, expected, fields: &str| {
        Row::new(name, expected, kubeconfig(API, &format!("exec: {{{V1}, {never}, {fields}}}")))
    };
    let in_path = |row: Row| row.file("bin/cred", ALICE).variable("PATH", "$HERE/bin:/usr/bin:/bin");
    let token_first = kubeconfig(API, &format!("{}, exec: {{command: none, {V1}, {never}}}", super::ALICE));
    vec![
        program("the beta protocol", IS_ALICE, "apiVersion: client.authentication.k8s.io/v1beta1", beta),
        absent("the alpha protocol", "apiVersion: client.authentication.k8s.io/v1alpha1"),
        absent("no protocol", never),
        absent("no mode", V1),
        absent("an unknown mode", &format!("{V1}, interactiveMode: Sometimes")),
        absent("a terminal that is not there", &format!("{V1}, interactiveMode: Always")),
        absent("a variable without a name", &format!("{V1}, {never}, env: [{{value: a}}]")),
        absent("a program and a provider", &format!("{V1}, {never}}}, auth-provider: {{name: oidc")),
        in_path(named("a name in PATH", IS_ALICE, "command: cred")),
        in_path(named(
            "a name in PATH, and another PATH for the program",
            IS_ALICE,
            "command: cred, env: [{name: PATH, value: /nowhere}]",
        )),
        named("no command", Refused, "command: ''"),
        named("a program that is missing", Refused, "command: no-such, installHint: get it from example.com")
            .shows("get it from example.com"),
        Row::new("a token comes before a program", IS_ALICE, token_first),
    ]
}
