//! One file of a kubeconfig, read as kubectl reads it.

use std::{
    collections::HashSet,
    fs, io,
    path::{self, MAIN_SEPARATOR, Path, PathBuf},
};

use serde_yaml::DuplicateKeyPolicy;

use super::entries::{Kubeconfig, NamedCluster, NamedUser};
use crate::yaml::Mistake;

/// Why a file of a kubeconfig cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to read the kubeconfig {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the kubeconfig {} is wrong", path.display())]
    Parse { path: PathBuf, source: Mistake },
    #[error(
        "the kubeconfig {} is of kind {kind:?} and apiVersion {api_version:?} instead of Config and v1",
        path.display()
    )]
    OtherKind { path: PathBuf, kind: String, api_version: String },
    #[error("the kubeconfig {} has two entries for the {what} {name:?}", path.display())]
    Twice { path: PathBuf, what: &'static str, name: String },
}

/// Reads a file, if it exists. Relative paths in it become absolute.
pub(super) fn read(path: &Path) -> Result<Option<Kubeconfig>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(failed)?,
    };
    let text = decode(bytes).ok_or_else(|| failed(io::Error::new(io::ErrorKind::InvalidData, "this is not text")))?;
    let mut kubeconfig = parse(&text, path)?;
    let absolute = path::absolute(path).map_err(failed)?;
    kubeconfig.resolve_paths(absolute.parent().unwrap_or(&absolute));
    Ok(Some(kubeconfig))
}

/// Decodes UTF-8, or UTF-16 that begins with a byte order mark.
fn decode(bytes: Vec<u8>) -> Option<String> {
    let utf16 = |rest: &[u8], decode: fn([u8; 2]) -> u16| {
        let (pairs, odd) = rest.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| decode(*pair)).collect();
        if odd.is_empty() { String::from_utf16(&units).ok() } else { None }
    };
    match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        _ => String::from_utf8(bytes).ok(),
    }
}

/// Reads YAML or JSON. As in kubectl, the first document counts, the last of equal keys, and a text is no number.
pub(super) fn parse(text: &str, path: &Path) -> Result<Kubeconfig, Error> {
    let options = serde_yaml::options! { no_schema: true, duplicate_keys: DuplicateKeyPolicy::LastWins };
    let mut reader = io::Cursor::new(text);
    let first = serde_yaml::read_with_options::<_, Kubeconfig>(&mut reader, options).next();
    let kubeconfig = first
        .transpose()
        .map_err(|error| Error::Parse { path: path.to_owned(), source: Mistake::from(&error) })?
        .unwrap_or_default();
    kubeconfig.check(path)?;
    Ok(kubeconfig)
}

impl Kubeconfig {
    fn check(&self, path: &Path) -> Result<(), Error> {
        let is_other = |text: &str, expected: &str| !text.is_empty() && text != expected;
        if is_other(&self.kind, "Config") || is_other(&self.api_version, "v1") {
            return Err(Error::OtherKind {
                path: path.to_owned(),
                kind: self.kind.clone(),
                api_version: self.api_version.clone(),
            });
        }
        find_twice("context", path, self.contexts.iter().map(|context| &context.name))?;
        find_twice("cluster", path, self.clusters.iter().map(|cluster| &cluster.name))?;
        find_twice("user", path, self.users.iter().map(|user| &user.name))
    }

    fn resolve_paths(&mut self, folder: &Path) {
        for NamedCluster { cluster, .. } in &mut self.clusters {
            resolve(&mut cluster.certificate_authority, folder);
        }
        for NamedUser { user, .. } in &mut self.users {
            for path in [&mut user.client_certificate, &mut user.client_key, &mut user.token_file] {
                resolve(path, folder);
            }
            // A name without a separator is looked up in PATH.
            if let Some(exec) = &mut user.exec
                && exec.command.contains(MAIN_SEPARATOR)
            {
                resolve(&mut exec.command, folder);
            }
        }
    }

    /// Adds the next file of a list. The first file that has an entry or the current context wins.
    pub(super) fn merge(mut self, next: Self) -> Self {
        if self.current_context.is_empty() {
            self.current_context = next.current_context;
        }
        add_new(&mut self.contexts, next.contexts, |context| &context.name);
        add_new(&mut self.clusters, next.clusters, |cluster| &cluster.name);
        add_new(&mut self.users, next.users, |user| &user.name);
        self
    }
}

fn resolve(path: &mut String, folder: &Path) {
    if !path.is_empty()
        && let Some(absolute) = folder.join(&path).to_str()
    {
        *path = absolute.to_owned();
    }
}

fn find_twice<'a>(what: &'static str, path: &Path, names: impl Iterator<Item = &'a String>) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Error::Twice { path: PathBuf::from(path), what, name: name.clone() });
        }
    }
    Ok(())
}

fn add_new<T>(known: &mut Vec<T>, next: Vec<T>, name: impl Fn(&T) -> &String) {
    for entry in next {
        if known.iter().all(|known| name(known) != name(&entry)) {
            known.push(entry);
        }
    }
}
