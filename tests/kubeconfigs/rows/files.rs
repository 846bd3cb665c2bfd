//! Files: their text, their lists, and the choice of entries.

use super::{API, Expected::*, IS_ALICE, Row, kubeconfig};

/// Alice's kubeconfig.
fn alice() -> String {
    kubeconfig(API, super::ALICE)
}

/// How a file is written.
pub(super) fn contents() -> Vec<Row> {
    let json = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "x",
	"contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
	"clusters": [{"name": "c", "cluster": {"server": "$SERVER", "certificate-authority": "$CA"}}],
	"users": [{"name": "u", "user": {"token": "token-alice-s3cret"}}]}"#;
    let anchors = "current-context: x
contexts: [{name: x, context: &both {cluster: c, user: u}}, {name: z, context: {<<: *both, namespace: a}}]
clusters: [{name: c, cluster: {server: '$SERVER', certificate-authority: '$CA'}}]
users: [{name: u, user: {token: token-alice-s3cret}}]
";
    vec![
        Row::new("plain", IS_ALICE, alice()),
        Row::new("JSON with tabs", IS_ALICE, json),
        Row::new("a byte order mark", IS_ALICE, format!("\u{feff}{}", alice())),
        Row::new("lines of Windows", IS_ALICE, alice().replace('\n', "\r\n")),
        Row::new("anchors and merges", IS_ALICE, anchors).flag("--context=z"),
        Row::new("a document marker and comments", IS_ALICE, format!("# mine\n---\n{}", alice())),
        Row::new("a second document", IS_ALICE, format!("{}---\nusers: 7\n", alice())),
        Row::new("unknown fields", IS_ALICE, format!("more: {{a: [1, ~]}}\npreferences: {{x: 1}}\n{}", alice())),
        Row::new("kind and version", IS_ALICE, format!("apiVersion: v1\nkind: Config\n{}", alice())),
        Row::new("empty kind and version", IS_ALICE, format!("apiVersion: ''\nkind: ~\n{}", alice())),
        Row::new("another kind", Refused, format!("kind: Secret\n{}", alice())),
        Row::new("another version", Refused, format!("apiVersion: v2\n{}", alice())),
        Row::new("a key twice", IS_ALICE, format!("current-context: y\n{}", alice())),
        Row::new("a user twice", Refused, format!("{}- {{name: u, user: {{}}}}\n", alice())),
        Row::new("no YAML", Refused, "current-context: [x"),
        Row::new("a map of users", Refused, alice().replace("- name: u\n  user", "  u")),
        Row::new("an unquoted number as token", Refused, kubeconfig(API, "token: 12345")),
        Row::new("an empty file", Refused, ""),
        Row::new("only a comment", Refused, "# nothing\n"),
        Row::new(
            "null and empty fields",
            IS_ALICE,
            kubeconfig(
                &format!("{API}, certificate-authority-data: '', proxy-url: ~, tls-server-name: '', extensions: ~"),
                "token: token-alice-s3cret, tokenFile: '', client-certificate: '', username: ~, exec: ~, as: ''",
            ),
        ),
    ]
}

/// Lists of files.
pub(super) fn lists() -> Vec<Row> {
    let list = "$HERE/first:$HERE/config";
    let empty = "current-context: ''\nclusters: []\ncontexts: []\nusers: ~\n";
    let other = kubeconfig(API, "token: token-bob-s3cret");
    let user_only = "users: [{name: u, user: {token: token-bob-s3cret}}]\n";
    let relative_ca = "certificate-authority: ../../../pki/cluster.crt";
    let home = |row: Row| row.file(".kube/config", alice()).variable("HOME", "$HERE");
    vec![
        Row::new("an empty current context first", IS_ALICE, alice()).file("first", empty).variable("KUBECONFIG", list),
        Row::new("the first file wins", User("bob"), alice()).file("first", other).variable("KUBECONFIG", list),
        Row::new("the first file's user wins", User("bob"), alice())
            .file("first", user_only)
            .variable("KUBECONFIG", list),
        Row::new("a missing file in a list", IS_ALICE, alice()).variable("KUBECONFIG", "$HERE/none::$HERE/config"),
        Row::new("a broken file in a list", Refused, alice()).file("first", "[").variable("KUBECONFIG", list),
        Row::new("only missing files", Refused, "").variable("KUBECONFIG", "$HERE/none"),
        home(Row::new("the home folder", IS_ALICE, "")).variable("KUBECONFIG", ""),
        home(Row::new("a list of nothing", Refused, "")).variable("KUBECONFIG", ":"),
        Row::new("a flag", User("bob"), alice())
            .file("other", kubeconfig(API, "token: token-bob-s3cret"))
            .flag("--kubeconfig=$HERE/other"),
        Row::new("a flag for a missing file", Refused, alice()).flag("--kubeconfig=$HERE/none"),
        Row::new("relative paths of two files", IS_ALICE, kubeconfig("certificate-authority: none", "tokenFile: none"))
            .file("deep/cluster", format!("clusters: [{{name: c, cluster: {{server: '$SERVER', {relative_ca}}}}}]\n"))
            .file("user", "users: [{name: u, user: {tokenFile: deep/token}}]\n")
            .file("deep/token", "token-alice-s3cret")
            .variable("KUBECONFIG", "$HERE/user:deep/cluster:config"),
    ]
}

/// The choice of the context, the cluster and the user.
pub(super) fn choices() -> Vec<Row> {
    let two = format!(
        "{}- name: v
  user: {{token: token-bob-s3cret}}
",
        alice()
    );
    let no_context = alice().replace("current-context: x", "current-context: ''");
    let no_server = kubeconfig("certificate-authority: '$CA'", super::ALICE);
    vec![
        Row::new("another user", User("bob"), two.clone()).flag("--user=v"),
        Row::new("an unknown user", Refused, two).flag("--user=w"),
        Row::new("an unknown context", Refused, alice()).flag("--context=y"),
        Row::new("an unknown cluster", Refused, alice()).flag("--cluster=d"),
        Row::new("no current context", Refused, no_context.clone()),
        Row::new("no current context, but a flag", IS_ALICE, no_context.clone()).flag("--context=x"),
        Row::new("no current context, but a cluster and a user", IS_ALICE, no_context)
            .flag("--cluster=c")
            .flag("--user=u"),
        Row::new("an unquoted name that YAML 1.1 counts as a boolean", Refused, alice().replace(" x", " on")),
        Row::new("a name with dashes and colons", IS_ALICE, alice().replace(" x", " arn:aws:eks:a/b@2024-01-01")),
        Row::new("a context without a cluster", Refused, alice().replace("cluster: c, ", "")),
        Row::new("a context without a user", Refused, alice().replace(", user: u", "")),
        Row::new("a user that does not exist", Refused, alice().replace("user: u", "user: w")),
        Row::new("a cluster without a server", Refused, no_server.clone()),
        Row::new("the server of the environment", IS_ALICE, no_server).variable("KUBERNETES_MASTER", "$SERVER"),
        Row::new("only the server of the environment", User("admin"), "")
            .variable("KUBECONFIG", "$HERE/none")
            .variable("KUBERNETES_MASTER", "http://$PLAIN"),
    ]
}
