//! Changing single settings of an entry, as `kubectl config set` does.

use std::{fs, path::PathBuf};

use clap::ValueEnum;
use rustls::pki_types::ServerName;

use super::{
    Error,
    file::{Entry, File},
};

/// A setting that can be changed by hand, by its name in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
pub(crate) enum Setting {
    /// Where the server is, instead of a forwarded port
    Address,
    /// The name in the server's certificate
    ServerName,
    /// The namespace of the server's Service
    #[value(name = "service.namespace")]
    ServiceNamespace,
    /// The name of the server's Service
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
    /// The name in the file.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl File {
    /// Changes a setting of a context; an empty value removes it.
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
    /// A path takes the place of data, which would win over it.
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
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label = name.len() <= 63 && name.chars().all(is_inner) && !name.starts_with('-') && !name.ends_with('-');
    is_label.then(|| name.to_owned()).ok_or("give a name of lower-case letters, digits and dashes, of 63 at most")
}

/// Absolute, since the file reads relative paths from its own folder.
fn file(path: &str) -> Result<PathBuf, &'static str> {
    let path = std::path::absolute(path).map_err(|_| "give the path of a file")?;
    fs::metadata(&path).is_ok_and(|there| there.is_file()).then_some(path).ok_or("there is no such file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_checked_stored_and_removed() {
        let here = std::path::absolute("Cargo.toml").unwrap().display().to_string();
        for (key, good, bad) in [
            (Setting::Address, "localhost:8080", "localhost"),
            (Setting::ServerName, "replicas.example.com", "no name"),
            (Setting::ServiceNamespace, "tools", "Tools"),
            (Setting::ServiceName, "manager-1", "-manager"),
            (Setting::Ca, here.as_str(), "/nowhere"),
            (Setting::Certificate, here.as_str(), "/"),
            (Setting::Key, here.as_str(), "/nowhere"),
        ] {
            let mut file = File::default();
            let error = file.set("shop", key, bad).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{bad:?} is no value of {}: ", key.name())), "{error}");
            file.set("shop", key, good).unwrap();
            let shown = file.contexts["shop"].clone();
            let shown = File { contexts: [("shop".to_owned(), shown)].into() }.view().unwrap();
            let pointer = format!("/contexts/shop/{}", key.name().replace('.', "/"));
            assert_eq!(shown.pointer(&pointer), Some(&good.into()), "{shown}");
            file.set("shop", key, "").unwrap();
            assert!(file.contexts.is_empty(), "an entry that says nothing is none");
        }
    }
}
