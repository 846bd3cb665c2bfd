//! The file that kubectl runs for the completions of this plugin: a link to the program, beside it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::program;

/// Every build of this program contains this name of a gRPC service. A script that somebody wrote does not.
const MARK: &[u8] = b"replicas.v1.ReplicasService";

/// The largest file that may be a copy of this program: several times the size of a debug build.
const MAX_SIZE: u64 = 1 << 30;

/// Why the file cannot be put in its place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to find the file of this program")]
    NoProgram(#[source] io::Error),
    #[error("{} is there already, and is no link to this program", path.display())]
    NotOurs { path: PathBuf },
    #[error("failed to write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl Error {
    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NotOurs { .. } => Some("remove it, or name another folder of the PATH with --dir".to_owned()),
            Self::NoProgram(_) | Self::Write { .. } => {
                Some("name a folder of the PATH in which you may write, with --dir".to_owned())
            }
        }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Created,
    /// There was a link or a copy of another build.
    Replaced,
    Unchanged,
}

/// Links the completer to a plugin in a folder, and returns its path. Where links need a right, it is a copy.
pub(crate) fn install(plugin: &Path, folder: &Path) -> Result<(PathBuf, Done), Error> {
    let path = folder.join(program::completer_name(plugin));
    let failed = |source| Error::Write { path: path.clone(), source };
    let done = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Done::Created,
        Err(error) => return Err(failed(error)),
        Ok(_) if is_same(plugin, &path) => Done::Unchanged,
        Ok(there) if is_ours(plugin, &path, &there) => Done::Replaced,
        Ok(_) => return Err(Error::NotOurs { path }),
    };
    if done == Done::Replaced {
        fs::remove_file(&path).map_err(failed)?;
    }
    if done != Done::Unchanged {
        link(plugin, folder, &path).map_err(failed)?;
    }
    Ok((path, done))
}

/// Whether the completer is this build: a link to it, or a copy.
fn is_same(plugin: &Path, path: &Path) -> bool {
    match (fs::canonicalize(plugin), fs::canonicalize(path)) {
        (Ok(plugin), Ok(path)) if plugin == path => true,
        _ => path.is_file() && has_usual_size(path) && fs::read(path).ok().is_some_and(|it| is_content(plugin, &it)),
    }
}

fn is_content(plugin: &Path, content: &[u8]) -> bool {
    fs::read(plugin).is_ok_and(|plugin| plugin == content)
}

/// Whether the completer belongs to some build of this program. A link may lead to a build that was removed.
fn is_ours(plugin: &Path, path: &Path, there: &fs::Metadata) -> bool {
    if there.is_symlink() {
        return fs::read_link(path).is_ok_and(|target| target.file_name() == plugin.file_name());
    }
    let has_mark = |content: Vec<u8>| content.windows(MARK.len()).any(|part| part == MARK);
    there.is_file() && has_usual_size(path) && fs::read(path).is_ok_and(has_mark)
}

fn has_usual_size(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|there| there.len() <= MAX_SIZE)
}

/// Beside the plugin, the link names only the file, so that the folder can move.
#[cfg(unix)]
fn link(plugin: &Path, folder: &Path, path: &Path) -> io::Result<()> {
    match plugin.file_name() {
        Some(name) if plugin.parent() == Some(folder) => std::os::unix::fs::symlink(name, path),
        _ => std::os::unix::fs::symlink(plugin, path),
    }
}

#[cfg(not(unix))]
fn link(plugin: &Path, _: &Path, path: &Path) -> io::Result<()> {
    fs::copy(plugin, path).map(drop)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Row {
        name: &'static str,
        prepare: fn(&Path) -> io::Result<()>,
        expected: Option<Done>,
    }

    fn row(name: &'static str, prepare: fn(&Path) -> io::Result<()>, expected: Option<Done>) -> Row {
        Row { name, prepare, expected }
    }

    #[test]
    fn only_what_is_of_this_program_is_replaced() {
        let base = std::env::temp_dir().join(format!("kubectl-replicas-completer-{}", std::process::id()));
        let build = [b"\x7fELF".as_slice(), MARK].concat();
        let copy = |path: &Path| fs::copy(path.with_file_name("kubectl-replicas"), path).map(drop);
        for Row { name, prepare, expected } in [
            row("nothing", |_| Ok(()), Some(Done::Created)),
            row("this build", |path| symlink("kubectl-replicas", path), Some(Done::Unchanged)),
            row("a removed build", |path| symlink("/opt/old/kubectl-replicas", path), Some(Done::Replaced)),
            row("another program", |path| symlink("/bin/sh", path), None),
            row("a script", |path| fs::write(path, "#!/bin/sh\nkubectl replicas __complete \"$@\"\n"), None),
            row("a folder", |path| fs::create_dir(path), None),
            row("a copy", copy, Some(Done::Unchanged)),
            row("an old copy", |path| fs::write(path, [b"old".as_slice(), MARK].concat()), Some(Done::Replaced)),
        ] {
            let folder = base.join(name.replace(' ', "-"));
            fs::create_dir_all(&folder).unwrap();
            let plugin = folder.join("kubectl-replicas");
            fs::write(&plugin, &build).unwrap();
            let path = folder.join("kubectl_complete-replicas");
            prepare(&path).unwrap();
            let before = fs::symlink_metadata(&path).ok().map(|there| there.file_type());
            match (install(&plugin, &folder), expected) {
                (Ok((installed, done)), Some(expected)) => {
                    assert_eq!((installed, done), (path.clone(), expected), "{name}");
                    assert_eq!(fs::read(&path).unwrap(), build, "{name}");
                }
                (Err(Error::NotOurs { path: named }), None) => {
                    assert_eq!(named, path, "{name}");
                    assert_eq!(fs::symlink_metadata(&path).ok().map(|there| there.file_type()), before, "{name}");
                }
                (result, _) => panic!("{name}: {result:?}"),
            }
        }
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn a_link_in_another_folder_leads_to_the_program() {
        let base = std::env::temp_dir().join(format!("kubectl-replicas-elsewhere-{}", std::process::id()));
        fs::create_dir_all(base.join("bin")).unwrap();
        let plugin = base.join("kubectl-hold_replicas");
        fs::write(&plugin, MARK).unwrap();
        let (path, done) = install(&plugin, &base.join("bin")).unwrap();
        assert_eq!((path.file_name().unwrap().to_str(), done), (Some("kubectl_complete-hold_replicas"), Done::Created));
        assert_eq!(fs::read_link(&path).unwrap(), plugin);
        assert!(matches!(install(&plugin, &base.join("nowhere")), Err(Error::Write { .. })));
        fs::remove_dir_all(&base).unwrap();
    }
}
