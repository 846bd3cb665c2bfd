use super::{super::file::parse, *};

const FULL: &str = "
contexts:
  shop:
    ca: ca.crt
    certificate: /etc/tls/client.crt
    keyData: a2V5
    serverName: manager.example.com
    service: {namespace: tools, name: manager}
    address: '[::1]:8080'
  other: {}
";

fn settings(text: &str, context: &str, args: &ServerArgs) -> Settings {
    let path = Path::new("/home/me/config.yaml");
    let entry = parse(path, text).unwrap().contexts.remove(context).unwrap_or_default();
    Settings::merge(path.to_owned(), entry, args)
}

#[test]
fn an_entry_is_read_for_its_context() {
    let settings = settings(FULL, "shop", &ServerArgs::default());
    assert_eq!(settings.ca, Some(Material::File("/home/me/ca.crt".into())), "relative to the file");
    assert_eq!(settings.certificate, Some(Material::File("/etc/tls/client.crt".into())));
    assert_eq!(settings.key, Some(Material::Inline(b"key".to_vec())));
    assert_eq!(settings.server_name.as_deref(), Some("manager.example.com"));
    assert_eq!(settings.service.name.as_deref(), Some("manager"));
    assert_eq!(settings.address.unwrap().to_string(), "[::1]:8080");
}

#[test]
fn another_context_has_nothing_of_it() {
    for context in ["other", "unknown", ""] {
        let settings = settings(FULL, context, &ServerArgs::default());
        assert!(settings.ca.is_none() && settings.address.is_none(), "{context}");
    }
}

#[test]
fn arguments_win_over_the_file() {
    let args = ServerArgs {
        key: Some("mine.key".into()),
        address: Some("localhost:1".parse().unwrap()),
        service_name: Some("mine".to_owned()),
        ..ServerArgs::default()
    };
    let settings = settings(FULL, "shop", &args);
    assert_eq!(settings.key, Some(Material::File("mine.key".into())), "relative to the working directory");
    assert_eq!(settings.address.unwrap().host, "localhost");
    assert_eq!(settings.service, ServiceRef { namespace: Some("tools".to_owned()), name: Some("mine".to_owned()) });
}

#[test]
fn an_unknown_field_is_an_error_that_names_the_line() {
    let error = parse(Path::new("c.yaml"), "contexts:\n  shop:\n    cert: x\n").err().unwrap();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("cert") && cause.contains("line 3"), "{cause}");
}

#[test]
fn an_empty_file_is_no_error() {
    for text in ["", "\n", "# nothing yet\n", "{}", "contexts:\n  shop: {}\n"] {
        assert!(parse(Path::new("c.yaml"), text).is_ok(), "{text:?}");
    }
}

#[test]
fn keys_are_not_printed() {
    let settings = settings(FULL, "shop", &ServerArgs::default());
    assert!(format!("{settings:?}").contains("key: Some((inline))"));
}

#[test]
fn the_server_of_a_login_holds_unless_another_is_named() {
    const LOGIN: &str = "
contexts:
  plain: {caData: Y2E=, certificateData: Yw==, keyData: aw==, login: true, loginService: {namespace: a, name: b}}
  named:
    certificateData: Yw==
    keyData: aw==
    ca: ca.crt
    login: true
    loginService: {namespace: a, name: b}
    service: {namespace: tools}
";
    let service = |namespace: &str, name: Option<&str>| ServiceRef {
        namespace: Some(namespace.to_owned()),
        name: name.map(str::to_owned),
    };
    let flag = ServerArgs { service_namespace: Some("flag".to_owned()), ..ServerArgs::default() };
    struct Row<'a> {
        name: &'static str,
        context: &'static str,
        args: &'a ServerArgs,
        expected: ServiceRef,
    }
    for Row { name, context, args, expected } in [
        Row { name: "login", context: "plain", args: &ServerArgs::default(), expected: service("a", Some("b")) },
        Row { name: "flag", context: "plain", args: &flag, expected: service("flag", None) },
        Row { name: "file", context: "named", args: &ServerArgs::default(), expected: service("tools", None) },
    ] {
        assert_eq!(settings(LOGIN, context, args).service, expected, "{name}");
    }
    let args = ServerArgs { ca: Some("mine.crt".into()), ..ServerArgs::default() };
    assert_eq!(
        settings(LOGIN, "plain", &args).login_ca,
        Some(Material::Inline(b"ca".to_vec())),
        "not that of the flag"
    );
    assert_eq!(settings(LOGIN, "named", &args).login_ca, Some(Material::File("/home/me/ca.crt".into())));
    assert_eq!(settings(FULL, "shop", &args).login_ca, None);
}
