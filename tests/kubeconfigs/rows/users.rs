//! Users: tokens, passwords, certificates, impersonation.

use super::{API, Expected::*, IS_ALICE, Row};

/// Tokens, passwords and providers.
pub(super) fn tokens() -> Vec<Row> {
    let file =
        |name, expected, content: &'static str| Row::user(name, expected, "tokenFile: token").file("token", content);
    vec![
        file("a token file", IS_ALICE, "token-alice-s3cret"),
        file("a token file with a line break", IS_ALICE, "token-alice-s3cret\n"),
        file("an empty token file", Refused, ""),
        Row::user("a missing token file", Refused, "tokenFile: none"),
        Row::user("a token and a token file", User("bob"), "token: token-alice-s3cret, tokenFile: token")
            .file("token", "token-bob-s3cret\n"),
        Row::user("a token and a missing token file", IS_ALICE, "token: token-alice-s3cret, tokenFile: none"),
        Row::user("an unknown token", Refused, "token: s3cret"),
        Row::user("a token with a line break", Refused, "token: \"token-alice-s3cret\\n\""),
        Row::user("no credentials", Refused, ""),
        Row::user("a password, which the API server ignores", Refused, "username: me, password: s3cret"),
        Row::user("only a password", Refused, "password: s3cret"),
        Row::user("a token and a password", Refused, "token: token-alice-s3cret, username: me, password: s3cret"),
        Row::user("a provider that is gone", Refused, "auth-provider: {name: gcp, config: {access-token: s3cret}}"),
        Row::user("an unknown provider", Refused, "auth-provider: {name: x, config: ~}"),
        Row::user(
            "a token and a provider that is gone",
            Refused,
            "token: token-alice-s3cret, auth-provider: {name: azure}",
        ),
    ]
}

/// Users with the provider that is left. None of them reaches it.
pub(super) fn providers() -> Vec<Row> {
    /// A token of 2096, which the API server does not know, and one of 1970.
    const UNKNOWN: &str = "id-token: e30.eyJleHAiOjQwMDAwMDAwMDB9.s3cret";
    const EXPIRED: &str = "id-token: e30.eyJleHAiOjB9.s3cret";
    let row = |name, expected, config: &str, fields: &str| {
        Row::user(name, expected, &format!("auth-provider: {{name: oidc, config: {{{config}}}}}{fields}"))
    };
    let known = |token: &str| format!("idp-issuer-url: 'https://127.0.0.1:9', client-id: a, {token}");
    let (unknown, expired) = (known(UNKNOWN), known(EXPIRED));
    let token = ", token: token-alice-s3cret";
    vec![
        row("a token of a provider that the API server does not know", Refused, &unknown, ""),
        row("an expired token, and none to refresh it", Refused, &expired, ""),
        row("an expired token, and one to refresh it", Refused, &format!("{expired}, refresh-token: s3cret"), ""),
        row("no token of the provider", Refused, &known("refresh-token: s3cret"), ""),
        row("a token before that of the provider", IS_ALICE, &expired, token),
        row("a token, and a provider without an issuer", Refused, "client-id: a", token),
        row("a token, and a provider without a client", Refused, "idp-issuer-url: 'https://127.0.0.1:9'", token),
    ]
}

/// Client certificates.
pub(super) fn certificates() -> Vec<Row> {
    let pair = |name, expected, certificate: &str, key: &str| {
        let files = format!("client-certificate: '$FILE({certificate})', client-key: '$FILE({key})'");
        Row::user(name, expected, &files)
    };
    let data = "client-certificate-data: $DATA(ec.crt), client-key-data: $DATA(ec.key)";
    vec![
        Row::user("a certificate in the file", User("carol-ec"), data),
        Row::user("a certificate and a token", User("carol-ec"), &format!("{data}, token: token-alice-s3cret")),
        pair("P-256", User("carol-ec"), "ec.crt", "ec.key"),
        pair("P-384", User("carol-p384"), "p384.crt", "p384.key"),
        pair("Ed25519", User("carol-ed25519"), "ed25519.crt", "ed25519.key"),
        pair("RSA in PKCS#8", User("carol-rsa"), "rsa.crt", "rsa.key"),
        pair("RSA in PKCS#1", User("carol-rsa"), "rsa.crt", "pkcs1.key"),
        pair("RSA in PKCS#1 with another label", User("carol-rsa"), "rsa.crt", "mislabelled.key"),
        pair("P-256 in SEC1 with parameters", User("carol-sec1"), "sec1.crt", "sec1.key"),
        pair("text around a certificate", User("carol-rsa"), "text.crt", "rsa.key"),
        pair("a chain", User("carol-rsa"), "chain.crt", "rsa.key"),
        pair("both in one file", User("carol-ec"), "both.pem", "both.pem"),
        pair("X.509 version 1", User("carol-v1"), "v1.crt", "v1.key"),
        pair("X.509 version 1 with P-256", User("carol-v1ec"), "v1ec.crt", "v1ec.key"),
        pair("P-521", Unsupported("carol-p521", "the key is ECDSA with P-521"), "p521.crt", "p521.key"),
        pair(
            "RSA with 1024 bits",
            Unsupported("carol-small", "the key is RSA with 1024 bits"),
            "small.crt",
            "small.key",
        ),
        pair("the key of another certificate", Refused, "ec.crt", "p384.key"),
        pair("the key of another RSA certificate", Refused, "rsa.crt", "v1.key"),
        pair("an encrypted key in PKCS#1", Refused, "rsa.crt", "encrypted1.key"),
        pair("an encrypted key in PKCS#8", Refused, "rsa.crt", "encrypted8.key"),
        pair("a missing key", Refused, "rsa.crt", "none"),
        pair("an empty certificate", Refused, "empty", "rsa.key"),
        pair("an empty key", Refused, "rsa.crt", "empty"),
        Row::user("no key", Refused, "client-certificate: '$FILE(ec.crt)'"),
        Row::user("a certificate twice", Refused, &format!("{data}, client-certificate: '$FILE(ec.crt)'")),
        Row::user("a key twice", Refused, &format!("{data}, client-key: '$FILE(ec.key)'")),
        Row::user("no base64", Refused, "client-certificate-data: '%', client-key-data: s3cret"),
        Row::user("a key alone", IS_ALICE, "token: token-alice-s3cret, client-key: none"),
    ]
}

/// Users who act as others.
pub(super) fn impersonation() -> Vec<Row> {
    const ROOT: &str = "token: token-root-s3cret";
    let row = |name, expected, fields: &str| Row::of(name, expected, API, &format!("{ROOT}, {fields}"));
    vec![
        row("another user", User("dave"), "as: dave"),
        row("groups", User("dave"), "as: dave, as-groups: [b, a, 'system:x y']"),
        row("a uid", User("dave"), "as: dave, as-uid: '7'"),
        row("extra fields", User("dave"), "as: dave, as-user-extra: {scopes: [a, b], acme.io/x: [c]}"),
        row("a service account", User("system:serviceaccount:a:b"), "as: 'system:serviceaccount:a:b'"),
        row("a name that is not ASCII", User("dåve"), "as: dåve, as-groups: [größe], as-user-extra: {'a%b/ü': [ß]}"),
        row("a name with a line break", Refused, "as: \"a\\nb\""),
        row("groups without a user", Refused, "as-groups: [a]"),
        row("a uid without a user", Refused, "as-uid: '7'"),
        row("extra fields without a user", Refused, "as-user-extra: {a: [b]}"),
        Row::user("a user who may not", Refused, "token: token-alice-s3cret, as: dave"),
        Row::user("--as", User("dave"), ROOT).flag("--as=dave"),
        Row::user("--as with groups", User("dave"), ROOT)
            .flag("--as=dave")
            .flag("--as-group=b")
            .flag("--as-group=system:x y"),
        Row::user("--as with a uid", User("dave"), ROOT).flag("--as=dave").flag("--as-uid=7"),
        row("--as before the kubeconfig", User("eve"), "as: dave, as-groups: [a], as-user-extra: {x: [z]}")
            .flag("--as=eve"),
        row("--as-group before the kubeconfig", User("dave"), "as: dave, as-groups: [a, c]").flag("--as-group=b"),
        row("--as-uid before the kubeconfig", User("dave"), "as: dave, as-uid: '7'").flag("--as-uid=8"),
        row("an empty --as", User("dave"), "as: dave").flag("--as="),
        Row::user("--as-group without a user", Refused, ROOT).flag("--as-group=a"),
        Row::user("--as-uid without a user", Refused, ROOT).flag("--as-uid=7"),
        Row::user("--as of a user who may not", Refused, "token: token-alice-s3cret").flag("--as=dave"),
    ]
}
