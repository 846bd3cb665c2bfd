//! Servers: their addresses, their certificates and the proxies to them.

use super::{API, Expected, Expected::*, IS_ALICE, Row};

/// A name of the API server that only the proxies know.
const HIDDEN: &str = "server: 'https://kubernetes.default.svc:$PORT', certificate-authority: '$CA'";

/// An address of this machine that Go does not count as loopback.
const NOT_LOOPBACK: &str = "server: 'https://0.0.0.0:$PORT', certificate-authority: '$CA', tls-server-name: kubernetes";

/// No check of the server's certificate.
const UNCHECKED: &str = "insecure-skip-tls-verify: true";

/// The API server's other certificate.
const SELF_SIGNED: &str = "certificate-authority: '$FILE(self.crt)', tls-server-name: self.test";

/// A certificate of the API server that has the mark of a CA, and the CA that has signed it.
const MARKED: &str = "certificate-authority: '$FILE(company.crt)', tls-server-name: company.test";

/// The API server with a certificate that the kubeconfig names itself, and whose CA is for clients.
const PINNED: &str = "certificate-authority: '$FILE(pinned.crt)', tls-server-name: pinned.test";

/// A proxy that does not exist.
const DEAD: &str = "http://me:s3cret@127.0.0.1:9";

/// The address of the server.
pub(super) fn addresses() -> Vec<Row> {
    let ca = "certificate-authority: '$CA'";
    let server = |name, expected, server: &str| Row::cluster(name, expected, &format!("server: '{server}', {ca}"));
    let plain = |name, expected, server: &str| Row::cluster(name, expected, &format!("server: '{server}'"));
    vec![
        plain("HTTP", User("admin"), "http://$PLAIN"),
        plain("no scheme", User("admin"), "$PLAIN"),
        server("no scheme, but a CA", User("admin"), "$PLAIN"),
        plain("no scheme, but a path", Refused, "$PLAIN/path"),
        server("no scheme to a port with TLS", Refused, "127.0.0.1:$PORT"),
        server("a scheme in capitals", IS_ALICE, "HTTPS://127.0.0.1:$PORT"),
        server("a slash at the end", IS_ALICE, "$SERVER/"),
        server("a path", Refused, "$SERVER/clusters/x"),
        server("a query", IS_ALICE, "$SERVER?a=b#c"),
        server("a name", IS_ALICE, "https://localhost:$PORT"),
        server("another scheme", Refused, "ftp://127.0.0.1:$PORT"),
        server("no host", Refused, "https://:$PORT"),
        server("a space", Refused, " $SERVER"),
        server("a user, which replaces the token", Refused, "https://me:s3cret@127.0.0.1:$PORT"),
        server("a port without a server", Refused, "https://127.0.0.1:9"),
        Row::of(
            "HTTP runs no program",
            User("admin"),
            "server: 'http://$PLAIN'",
            "exec: {apiVersion: \
             client.authentication.k8s.io/v1, command: none, interactiveMode: Never}",
        ),
        Row::of("HTTP reads no token file", User("admin"), "server: 'http://$PLAIN'", "tokenFile: none"),
        Row::of(
            "HTTP with a missing certificate",
            Refused,
            "server: 'http://$PLAIN'",
            "client-certificate: none, \
             client-key: none",
        ),
    ]
}

/// The certificate of the server.
pub(super) fn authorities() -> Vec<Row> {
    let row =
        |name, expected: Expected, fields: &str| Row::cluster(name, expected, &format!("server: '$SERVER', {fields}"));
    let data = "certificate-authority-data: $DATA(bundle.crt)";
    vec![
        row("several certificates and text", IS_ALICE, "certificate-authority: '$FILE(bundle.crt)'"),
        row("several certificates in the file", IS_ALICE, data),
        row("a damaged certificate before the CA", IS_ALICE, "certificate-authority: '$FILE(damaged.crt)'"),
        row("another CA", Refused, "certificate-authority: '$FILE(ec.crt)'"),
        row("the CAs of the system", Refused, "disable-compression: true"),
        row("an empty CA", Refused, "certificate-authority: '$FILE(empty)'"),
        row("a missing CA", Refused, "certificate-authority: none"),
        row("a CA twice", Refused, &format!("{data}, certificate-authority: '$CA'")),
        row("no check", IS_ALICE, UNCHECKED),
        row("no check in YAML 1.1", IS_ALICE, "insecure-skip-tls-verify: yes"),
        row("no check as text", Refused, "insecure-skip-tls-verify: 'true'"),
        row("no check with a CA", Refused, "insecure-skip-tls-verify: true, certificate-authority: '$CA'"),
        row("the name in the certificate", IS_ALICE, "certificate-authority: '$CA', tls-server-name: kubernetes"),
        row("an address in the certificate", IS_ALICE, "certificate-authority: '$CA', tls-server-name: 10.96.0.1"),
        row("a certificate that is its own CA", IS_ALICE, SELF_SIGNED),
        row("a certificate that is marked as a CA", IS_ALICE, MARKED),
        row("a certificate that is marked as a CA, of another CA", Refused, &MARKED.replace("company.crt", "self.crt")),
        row("a CA for clients alone", Refused, &PINNED.replace("pinned.crt", "clients.crt")),
        row("a certificate instead of its CA", IS_ALICE, PINNED),
        row("another name", Refused, "certificate-authority: '$CA', tls-server-name: other"),
    ]
}

/// The CAs of the machine, and machines that have none.
pub(super) fn machines() -> Vec<Row> {
    let row = |name, expected: Expected, fields: &str, file: &'static str, folders: &'static str| {
        Row::cluster(name, expected, fields).variable("SSL_CERT_FILE", file).variable("SSL_CERT_DIR", folders)
    };
    let server = "server: '$SERVER'";
    let (none, pki, other) = ("/none", "$FILE(../pki)", "$FILE(company.crt)");
    vec![
        Row::cluster("the CA of the environment", IS_ALICE, server).variable("SSL_CERT_FILE", "$CA"),
        Row::cluster("the folder of the environment", IS_ALICE, server).variable("SSL_CERT_DIR", pki),
        row("the second of two folders", IS_ALICE, server, none, "/none:$FILE(../pki)"),
        row("an empty file, and a folder", IS_ALICE, server, "", pki),
        row("another CA in the file, and a folder", IS_ALICE, server, other, pki),
        row("a file, and an empty folder", IS_ALICE, server, "$CA", ""),
        row("empty variables", Refused, server, "", ""),
        row("no CA", Refused, server, none, none),
        row("no CA, and none is needed without a check", IS_ALICE, &format!("{server}, {UNCHECKED}"), none, none),
        row("no CA, and none is needed with one of the kubeconfig", IS_ALICE, API, none, none),
        row("no CA, and none is needed without TLS", User("admin"), "server: 'http://$PLAIN'", none, none),
    ]
}

/// Proxies that lead to the API server.
pub(super) fn proxies() -> Vec<Row> {
    let row = |name, expected, proxy: &str| Row::cluster(name, expected, &format!("{HIDDEN}, proxy-url: '{proxy}'"));
    let of_environment = |name, expected, proxy| Row::cluster(name, expected, HIDDEN).variable("HTTPS_PROXY", proxy);
    vec![
        row("HTTP", IS_ALICE, "http://$HTTP"),
        row("HTTP with a password", IS_ALICE, "http://me:p%40ss3cret@$HTTP_WITH_PASSWORD"),
        row("HTTP with a wrong password", Refused, "http://me:s3cret@$HTTP_WITH_PASSWORD"),
        row("HTTPS", IS_ALICE, "https://$HTTPS"),
        row("SOCKS", IS_ALICE, "socks5://$SOCKS"),
        row("SOCKS with a password", IS_ALICE, "socks5://me:p%40ss3cret@$SOCKS_WITH_PASSWORD"),
        row("SOCKS with a wrong password", Refused, "socks5://me:s3cret@$SOCKS_WITH_PASSWORD"),
        row("SOCKS that resolves names", Refused, "socks5h://$SOCKS"),
        row("SOCKS 4", Refused, "socks4://me:s3cret@$SOCKS"),
        row("no scheme", Refused, "$HTTP"),
        row("NO_PROXY does not count", IS_ALICE, "http://$HTTP").variable("NO_PROXY", "*"),
        Row::cluster("loopback by a proxy of the kubeconfig", Refused, &format!("{API}, proxy-url: '{DEAD}'")),
        of_environment("of the environment", IS_ALICE, "http://$HTTP"),
        of_environment("of the environment, without a scheme", IS_ALICE, "$HTTP"),
        of_environment("of the environment, with a password", IS_ALICE, "me:p%40ss3cret@$HTTP_WITH_PASSWORD"),
        of_environment("of the environment, HTTPS", IS_ALICE, "https://$HTTPS"),
        of_environment("of the environment, SOCKS", IS_ALICE, "socks5://$SOCKS"),
        of_environment("of the environment, SOCKS that resolves names", IS_ALICE, "socks5h://$SOCKS"),
        of_environment("capitals win", IS_ALICE, "http://$HTTP").variable("https_proxy", DEAD),
        of_environment("not excluded", IS_ALICE, "http://$HTTP").variable("NO_PROXY", "x,.kubernetes.default.svc,[,:1"),
    ]
}

/// Servers that are reached without the proxy of the environment, which does not exist.
pub(super) fn exceptions() -> Vec<Row> {
    let row = |name, expected, no_proxy| {
        Row::cluster(name, expected, NOT_LOOPBACK).variable("HTTPS_PROXY", DEAD).variable("NO_PROXY", no_proxy)
    };
    let loopback = |name, server: &str| {
        let cluster = format!("server: '{server}', certificate-authority: '$CA'");
        Row::cluster(name, IS_ALICE, &cluster).variable("HTTPS_PROXY", DEAD)
    };
    vec![
        loopback("loopback", "$SERVER"),
        loopback("localhost", "https://localhost:$PORT"),
        row("nothing", Refused, ""),
        row("everything", IS_ALICE, "x.test, *"),
        row("the address", IS_ALICE, "0.0.0.0"),
        row("a network", IS_ALICE, "10.0.0.0/8,0.0.0.0/8"),
        row("the port", IS_ALICE, "0.0.0.0:$PORT"),
        row("another port", Refused, "0.0.0.0:1"),
        row("entries that cannot be read", IS_ALICE, ",, [,1.2.3.4/99,:5, 0.0.0.0 "),
        row("capitals win", IS_ALICE, "*").variable("no_proxy", "x"),
        Row::cluster("only HTTP is proxied", IS_ALICE, NOT_LOOPBACK).variable("HTTP_PROXY", DEAD),
        Row::cluster("ALL_PROXY does not count", IS_ALICE, NOT_LOOPBACK).variable("ALL_PROXY", DEAD),
        Row::cluster("a CGI program", Refused, "server: 'http://0.0.0.0:9'")
            .variable("HTTP_PROXY", "http://$HTTP")
            .variable("REQUEST_METHOD", "GET"),
    ]
}
