//! The configuration file.

use std::path::{Path, PathBuf};

use super::{Settings, file};
use crate::{args::ServerArgs, error::explain};

const FILE: &str = "\
contexts:
  a:
    ca: ca.crt
    certificate: /home/alice/client.crt
    key: client.key
    serverName: rcm.example.com
    service: {namespace: tools, name: rcm}
    address: '[::1]:8080'
  b:
    caData: Y2E=
    certificateData: Y2VydA==
    keyData: azNjcjN0
    login: true
    loginService: {namespace: tools, name: rcm}
    retryAt: '2026-01-01T00:00:00Z'
";

#[test]
fn a_configuration_is_written_as_it_is_read_and_its_keys_are_not_shown() {
    let words = ["contexts:", "  a: ", "&x ", "*x", "<<: *x", "[", "{", "!!binary ", "|\n", "~", "---\n", "'", "# "];
    fuzz::target("configuration").seeds([FILE, "contexts: {}", ""]).words(words).text(|text| {
        let file = match file::parse(Path::new("config.yaml"), text) {
            Ok(file) => file,
            Err(error) => {
                let _ = explain("error", &crate::error::Error::from(error));
                return false;
            }
        };
        let written = serde_yaml::to_string(&file).unwrap();
        let again = file::parse(Path::new("config.yaml"), &written).unwrap();
        assert!(again.contexts == file.contexts, "{written}");
        // Comments around a change stay, whatever the text looks like.
        let mut changed = file.clone();
        changed.set("a", super::Setting::ServerName, "changed.example.com").unwrap();
        let read = |text: &str| file::parse(Path::new("config.yaml"), text).ok().map(|file| file.contexts);
        if let Some(text) = super::edit::rewrite(text, &file.contexts, &changed.contexts, read) {
            assert!(read(&text).unwrap() == changed.contexts, "{text}");
        }
        for entry in again.contexts.into_values() {
            let _ = Settings::merge(PathBuf::from("/etc/config.yaml"), entry, &ServerArgs::default());
        }
        // Keys are not shown.
        let keys: Vec<_> = file.contexts.values().filter_map(|entry| entry.key_data.clone()).collect();
        let shown = file.view(Path::new("/nowhere")).unwrap();
        let shown = shown["contexts"].as_object().unwrap().values();
        assert_eq!(shown.filter(|entry| entry["keyData"] == "DATA+OMITTED").count(), keys.len());
        true
    });
}
