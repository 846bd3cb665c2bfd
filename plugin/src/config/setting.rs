//! Single settings of an entry, which `kubectl replicas config set` changes.

use std::{fs, path::PathBuf};

use clap::ValueEnum;
use rustls::pki_types::ServerName;

use super::{entry::Entry, error::Error, file::File};
use crate::dns;

/// A setting that users can change, by its name in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
pub(crate) enum Setting {
    /// The server's address, instead of a forwarded port
    Address,
    /// The name in the server's certificate
    ServerName,
    /// The namespace of the server's Service, instead of that of the login
    #[value(name = "service.namespace")]
    ServiceNamespace,
    /// The name of the server's Service, instead of that of the login
    #[value(name = "service.name")]
    ServiceName,
    /// The file of the CA that signs the server's certificate
    Ca,
    /// The file of the client certificate
    Certificate,
    /// The file of the key of the client certificate
    Key,
}

impl Setting {
    /// Its name in the file.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl File {
    /// Changes a setting of a context. An empty value removes it.
    pub(crate) fn set(&mut self, context: &str, key: Setting, value: &str) -> Result<(), Error> {
        let entry = self.contexts.entry(context.to_owned()).or_default();
        let value = (!value.is_empty()).then_some(value);
        entry.set(key, value).map_err(|why| Error::Value {
            key: key.name(),
            value: value.unwrap_or_default().to_owned(),
            why,
        })?;
        self.contexts.retain(|name, entry| name != context || *entry != Entry::default());
        Ok(())
    }
}

impl Entry {
    /// Changes a setting. A path replaces inline data, which would win over it.
    fn set(&mut self, key: Setting, value: Option<&str>) -> Result<(), &'static str> {
        match key {
            Setting::Address => self.address = value.map(str::parse).transpose()?,
            Setting::ServerName => self.server_name = value.map(server_name).transpose()?,
            Setting::ServiceNamespace => self.service.namespace = value.map(label).transpose()?,
            Setting::ServiceName => self.service.name = value.map(label).transpose()?,
            Setting::Ca => (self.ca, self.ca_data) = (value.map(file).transpose()?, None),
            Setting::Certificate => {
                (self.certificate, self.certificate_data) = (value.map(file).transpose()?, None);
                self.end_login();
            }
            Setting::Key => {
                (self.key, self.key_data) = (value.map(file).transpose()?, None);
                self.end_login();
            }
        }
        Ok(())
    }
}

fn server_name(name: &str) -> Result<String, &'static str> {
    ServerName::try_from(name).map_err(|_| "give a DNS name or an IP address")?;
    Ok(name.to_owned())
}

fn label(name: &str) -> Result<String, &'static str> {
    let wrong = "give a name of at most 63 lower-case letters, digits and dashes";
    dns::is_label(name).then(|| name.to_owned()).ok_or(wrong)
}

/// Makes a path absolute, since relative paths in the file start at the file's own folder.
fn file(path: &str) -> Result<PathBuf, &'static str> {
    let path = std::path::absolute(path).map_err(|_| "give the path of a file")?;
    fs::metadata(&path).is_ok_and(|there| there.is_file()).then_some(path).ok_or("there is no such file")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Values<'a> {
        setting: Setting,
        valid: &'a str,
        invalid: &'a str,
    }

    #[test]
    fn a_value_is_checked_stored_and_removed() {
        let file = std::path::absolute("Cargo.toml").unwrap().display().to_string();
        for Values { setting, valid, invalid } in [
            Values { setting: Setting::Address, valid: "localhost:8080", invalid: "localhost" },
            Values { setting: Setting::ServerName, valid: "replicas.example.com", invalid: "no name" },
            Values { setting: Setting::ServiceNamespace, valid: "tools", invalid: "Tools" },
            Values { setting: Setting::ServiceName, valid: "manager-1", invalid: "-manager" },
            Values { setting: Setting::Ca, valid: &file, invalid: "/nowhere" },
            Values { setting: Setting::Certificate, valid: &file, invalid: "/" },
            Values { setting: Setting::Key, valid: &file, invalid: "/nowhere" },
        ] {
            let mut file = File::default();
            let error = file.set("shop", setting, invalid).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{invalid:?} is not a valid {}: ", setting.name())), "{error}");
            file.set("shop", setting, valid).unwrap();
            let shown = file.contexts["shop"].clone();
            let shown =
                File { contexts: [("shop".to_owned(), shown)].into() }.view(std::path::Path::new("/nowhere")).unwrap();
            let pointer = format!("/contexts/shop/{}", setting.name().replace('.', "/"));
            assert_eq!(shown.pointer(&pointer), Some(&valid.into()), "{shown}");
            file.set("shop", setting, "").unwrap();
            assert!(file.contexts.is_empty(), "an empty entry is removed");
        }
    }
}
