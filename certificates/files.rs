//! Writes certificates and keys, all of them or none.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use replica_count_manager::pki::{Authority, Issued};

/// A folder and its files.
pub(crate) struct Folder {
    path: PathBuf,
    files: Vec<File>,
}

struct File {
    path: PathBuf,
    contents: String,
    private: bool,
}

impl Folder {
    /// The folder of a CA: its certificate and its key.
    pub(crate) fn authority(path: PathBuf, ca: &Authority) -> Self {
        let files = vec![
            File { path: path.join("ca.crt"), contents: ca.certificate().to_owned(), private: false },
            File { path: path.join("ca.key"), contents: ca.key(), private: true },
        ];
        Self { path, files }
    }

    /// The folder of a server or a client: its certificate, its key, and the CA's certificate.
    pub(crate) fn issued(path: PathBuf, stem: &str, ca: &Authority, issued: &Issued) -> Self {
        let file = |name: String, contents: &str, private| File {
            path: path.join(name),
            contents: contents.to_owned(),
            private,
        };
        let files = vec![
            file(format!("{stem}.crt"), &issued.certificate, false),
            file(format!("{stem}.key"), &issued.key, true),
            file("ca.crt".to_owned(), ca.certificate(), false),
        ];
        Self { path, files }
    }

    /// The paths of its files.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }
}

/// Writes every file, or none if one cannot be written. Without `force`, it replaces nothing: if a file exists, the
/// error ends with the `remedy`.
pub(crate) fn write(folders: &[Folder], force: bool, remedy: &str) -> Result<()> {
    let files = || folders.iter().flat_map(|folder| &folder.files);
    if !force && let Some(file) = files().find(|file| file.path.symlink_metadata().is_ok()) {
        bail!("{} exists already, so nothing was written.\n{remedy}", file.path.display());
    }
    for Folder { path, .. } in folders {
        fs::create_dir_all(path).with_context(|| format!("failed to make the folder {}", path.display()))?;
    }
    let written = files()
        .try_for_each(|file| write_draft(file).with_context(|| format!("failed to write {}", file.path.display())));
    if let Err(error) = written {
        files().for_each(|file| drop(fs::remove_file(draft_path(&file.path))));
        return Err(error);
    }
    for File { path, .. } in files() {
        fs::rename(draft_path(path), path).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}

/// Writes a file beside its place. The file is a new one, so that a key is private from its first byte.
fn write_draft(file: &File) -> io::Result<()> {
    let path = draft_path(&file.path);
    if let Err(error) = fs::remove_file(&path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if file.private { 0o600 } else { 0o644 });
    let mut draft = options.open(path)?;
    draft.write_all(file.contents.as_bytes())?;
    draft.sync_all()
}

fn draft_path(path: &Path) -> PathBuf {
    let mut draft = OsString::from(path);
    draft.push(".draft");
    draft.into()
}

/// Names the folder of one more client after its user, without characters that are unfit for a file name.
pub(crate) fn client_folder_name(user: &str) -> String {
    let fit = |char: char| char.is_alphanumeric() || "-_.@".contains(char);
    let user: String = user.chars().map(|char| if fit(char) { char } else { '-' }).collect();
    format!("client-{user}")
}

/// Quotes a word for a shell if necessary.
pub(crate) fn shell_word(word: &str) -> String {
    if word.chars().all(|char| char.is_alphanumeric() || "-_./@:+,".contains(char)) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_folder_never_leaves_its_place() {
        assert_eq!(client_folder_name("alice@example.com"), "client-alice@example.com");
        assert_eq!(client_folder_name("../ci/deploy: x"), "client-..-ci-deploy--x");
    }

    #[test]
    fn only_words_that_need_it_are_quoted() {
        assert_eq!(shell_word("certificates/server.crt"), "certificates/server.crt");
        assert_eq!(shell_word("my certs/it's"), r"'my certs/it'\''s'");
    }

    #[test]
    fn nothing_is_replaced_unless_forced() -> Result<()> {
        let root = std::env::temp_dir().join(format!("certificates-{}", std::process::id()));
        let folder = |name: &str, contents: &str| Folder {
            path: root.join(name),
            files: vec![File { path: root.join(name).join("a.key"), contents: contents.to_owned(), private: true }],
        };
        write(&[folder("old", "1")], false, "")?;
        let refused = write(&[folder("new", "2"), folder("old", "2")], false, "");
        assert!(refused.is_err());
        assert!(!root.join("new").exists());
        assert_eq!(fs::read_to_string(root.join("old/a.key"))?, "1");
        write(&[folder("old", "3")], true, "")?;
        assert_eq!(fs::read_to_string(root.join("old/a.key"))?, "3");
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(root.join("old/a.key"))?.permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::remove_dir_all(root)?;
        Ok(())
    }
}
