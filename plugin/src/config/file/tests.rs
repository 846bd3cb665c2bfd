use std::{path::PathBuf, time::Duration};

use super::*;
use crate::config::entry::{Credentials, Login, ServiceRef};

const OTHERS: &str = "
# Mine.
contexts:
  shop:
    ca: ca.crt
    service: {namespace: tools, name: manager}
    address: '[::1]:8080'
  other: {certificate: c.crt, keyData: a2V5, serverName: manager.example.com}
";

fn credentials() -> Credentials {
    let pem = |name: &str| format!("-----BEGIN {name}-----\n{}\n-----END {name}-----\n", "M".repeat(64)).into_bytes();
    Credentials { ca: pem("CERTIFICATE"), certificate: pem("CERTIFICATE"), key: pem("PRIVATE KEY") }
}

/// The server of a login.
fn server() -> ServiceRef {
    ServiceRef { namespace: Some("found".to_owned()), name: Some("rcm".to_owned()) }
}

/// A folder for one test. It is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("kubectl-replicas-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        Self(folder)
    }

    fn with(name: &str, text: &str) -> (Self, PathBuf) {
        let folder = Self::new(name);
        let path = folder.0.join("config.yaml");
        fs::create_dir_all(&folder.0).unwrap();
        fs::write(&path, text).unwrap();
        (folder, path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn log_in(path: &Path, context: &str) {
    let store = |file: &mut File| {
        file.contexts.entry(context.to_owned()).or_default().log_in(
            credentials(),
            server(),
            Some(Duration::from_secs(600)),
        );
        Ok(())
    };
    edit(path, store).unwrap();
}

#[test]
fn a_stored_login_is_read_back_and_everything_else_stays() {
    let (_folder, path) = Folder::with("stays", OTHERS);
    let before = load(&path).unwrap();
    log_in(&path, "shop");
    log_in(&path, "new");
    let after = load(&path).unwrap();
    assert!(after.contexts["other"] == before.contexts["other"]);
    let (old, shop) = (&before.contexts["shop"], &after.contexts["shop"]);
    assert!(shop.is_login() && after.contexts["new"].is_login() && !old.is_login());
    assert_eq!(shop.login().lifetime, Some(Duration::from_secs(600)));
    assert_eq!(shop.key_data.as_ref().unwrap().0, credentials().key);
    assert_eq!(shop.login_service, server());
    assert_eq!((&shop.ca, &shop.service, &shop.address), (&old.ca, &old.service, &old.address));
}

#[test]
fn logging_out_undoes_a_login() {
    let (_folder, path) = Folder::with("undo", OTHERS);
    let before = load(&path).unwrap();
    log_in(&path, "shop");
    log_in(&path, "new");
    for context in ["shop", "new"] {
        edit(&path, |file| file.log_out(context, None)).unwrap();
    }
    assert!(load(&path).unwrap().contexts == before.contexts);
}

#[test]
fn an_import_is_no_login() {
    let (_folder, path) = Folder::with("import", OTHERS);
    log_in(&path, "shop");
    let import = |file: &mut File| {
        file.contexts.entry("shop".to_owned()).or_default().import(credentials());
        Ok(())
    };
    edit(&path, import).unwrap();
    let shop = load(&path).unwrap().contexts.remove("shop").unwrap();
    assert!(!shop.is_login() && shop.has_credentials());
    assert_eq!(shop.login_service, ServiceRef::default());
    assert_eq!(shop.login(), Login { retry_at: None, lifetime: None });
}

#[test]
fn the_check_that_the_file_can_be_written_leaves_no_trace() {
    let (folder, path) = Folder::with("writable", OTHERS);
    check_writable(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), OTHERS);
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    let below_a_file = path.join("config.yaml");
    assert!(check_writable(&below_a_file).is_err());
}

#[test]
fn only_a_login_can_be_logged_out() {
    let (_folder, path) = Folder::with("only", OTHERS);
    let log_out = |context: &str| edit(&path, |file| file.log_out(context, None)).unwrap_err();
    assert_eq!(log_out("shop").to_string(), "not logged in with the context shop");
    assert_eq!(log_out("unknown").to_string(), "not logged in with the context unknown");
    assert_eq!(log_out("other").to_string(), "the certificate for the context other is not from a login");
    assert_eq!(fs::read_to_string(&path).unwrap(), OTHERS);
}

#[test]
fn a_change_that_fails_leaves_the_file_and_no_draft() {
    let (folder, path) = Folder::with("fails", "contexts: {a: {wrong: 1}}");
    assert!(edit(&path, |_| Ok(())).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "contexts: {a: {wrong: 1}}");
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
}

#[test]
fn a_mistake_is_shown_without_the_values_around_it() {
    for (name, text, shown) in [
        ("an unknown field", "contexts:\n  a:\n    certficate: s3cret", "the field certficate is unknown"),
        ("no address", "contexts: {a: {address: s3cret}}", "expected a host and a port"),
        ("a text instead of an entry", "contexts:\n  a: s3cret", "caused by: "),
        ("a list instead of a text", "contexts: {a: {serverName: [s3cret]}}", "caused by: "),
        ("no time", "contexts: {a: {retryAt: s3cret}}", "caused by: "),
        ("no base64", "contexts: {a: {keyData: 's3cret%'}}", "caused by: "),
        ("no YAML", "contexts: {a: {keyData: s3cret", "caused by: "),
    ] {
        let error = parse(Path::new("config.yaml"), text).expect_err(name);
        let text = crate::error::explain("error", &crate::error::Error::from(error));
        assert!(text.contains(shown) && !text.contains("s3cret"), "{name}: {text}");
        assert!(
            text.contains("\nhint: correct it, or move config.yaml away and run `kubectl replicas login`"),
            "{text}"
        );
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_not_replaced() {
    let folder = Folder::new("socket");
    fs::create_dir_all(&folder.0).unwrap();
    let [socket, link] = ["socket", "link"].map(|name| folder.0.join(name));
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::os::unix::fs::symlink(&socket, &link).unwrap();
    for path in [&socket, &link] {
        let error = edit(path, |_| Ok(())).unwrap_err();
        assert!(error.to_string().starts_with("failed to write the configuration"), "{error}");
        assert_eq!(error.hint().unwrap(), "name a regular file with KUBECTL_REPLICAS_CONFIG");
    }
    assert!(check_writable(Path::new("/dev/null")).is_err());
}

#[cfg(unix)]
#[test]
fn the_file_and_its_folder_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = Folder::new("private");
    let path = folder.0.join("made").join("config.yaml");
    log_in(&path, "new");
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    log_in(&path, "new");
    assert_eq!(mode(&path), 0o600, "even if it was not before");
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link() {
    let (folder, path) = Folder::with("link", OTHERS);
    let link = folder.0.join("link.yaml");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    log_in(&link, "new");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(load(&path).unwrap().contexts["new"].is_login());
}

#[test]
fn no_data_are_shown() {
    let (_folder, path) = Folder::with("view", OTHERS);
    log_in(&path, "shop");
    let shown = load(&path).unwrap().view(Path::new("/nowhere")).unwrap();
    let expected = serde_json::json!({"contexts": {
        "other": {"certificate": "c.crt", "keyData": OMITTED, "serverName": "manager.example.com"},
        "shop": {
            "address": "[::1]:8080", "ca": "ca.crt", "caData": OMITTED, "certificateData": OMITTED,
            "keyData": OMITTED, "login": true, "expirationSeconds": 600, "service": {"name": "manager", "namespace": "tools"},
            "loginService": {"namespace": "found", "name": "rcm"},
        },
    }});
    assert_eq!(shown, expected);
}

#[test]
fn a_login_and_a_logout_keep_the_comments() {
    let (_folder, path) = Folder::with("comments", OTHERS);
    log_in(&path, "shop");
    let text = fs::read_to_string(&path).unwrap();
    for line in OTHERS.lines() {
        assert!(text.lines().any(|kept| kept == line), "{line:?} is missing in {text}");
    }
    edit(&path, |file| file.log_out("shop", None)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), OTHERS);
}

#[test]
fn a_login_as_another_user_stands_beside_the_own_one() {
    let (_folder, path) = Folder::with("as", OTHERS);
    log_in(&path, "shop");
    let own = fs::read_to_string(&path).unwrap();
    let [robot, bots] = [vec![], vec!["bots".to_owned()]].map(|groups| Impersonation {
        user: "system:serviceaccount:shop:robot".to_owned(),
        groups,
        ..Impersonation::default()
    });
    let log_in_as = |identity: &Impersonation| {
        let store = |file: &mut File| {
            let entry = file.contexts.get_mut("shop").unwrap().login_entry(Some(identity));
            entry.log_in(credentials(), server(), None);
            Ok(())
        };
        edit(&path, store).unwrap();
    };
    log_in_as(&robot);
    log_in_as(&bots);
    let shown = load(&path).unwrap().view(Path::new("/nowhere")).unwrap()["contexts"]["shop"]["as"].take();
    let part = serde_json::json!({
        "caData": OMITTED, "certificateData": OMITTED, "keyData": OMITTED, "login": true,
        "loginService": {"namespace": "found", "name": "rcm"},
    });
    assert_eq!(shown, serde_json::json!({robot.to_string(): part, bots.to_string(): part}));
    for line in own.lines() {
        assert!(fs::read_to_string(&path).unwrap().contains(line), "{line:?} is missing");
    }
    let entry = load(&path).unwrap().contexts.remove("shop").unwrap();
    assert!(entry.clone().impersonating(&robot).is_login());
    let stranger = Impersonation { user: "x".to_owned(), ..Impersonation::default() };
    assert!(!entry.impersonating(&stranger).has_credentials(), "another user gets no certificate of the context");

    let log_out = |identity: Option<&Impersonation>| edit(&path, |file| file.log_out("shop", identity));
    assert!(log_out(Some(&stranger)).is_err());
    log_out(Some(&bots)).unwrap();
    log_out(Some(&robot)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), own);
    log_in_as(&robot);
    log_out(None).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), OTHERS);
}
