//! Files that only the user can read. They are replaced as a whole, so that a reader never sees half of one.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The place of a file, which need not exist, in a folder that exists.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    folder: PathBuf,
}

impl Place {
    /// Creates the file's folder. Follows a link, so that the link itself stays. Refuses what is not a regular file: to
    /// replace /dev/null would take it from the whole machine.
    pub(crate) fn prepare(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if fs::metadata(&path).is_ok_and(|existing| !existing.is_file()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).to_owned();
        create_folder(&folder)?;
        Ok(Self { path, folder })
    }

    /// Locks the folder against other runs of the plugin, where the system can lock a folder.
    pub(crate) fn lock(&self) -> Option<fs::File> {
        let folder = fs::File::open(&self.folder).ok()?;
        folder.lock().ok()?;
        Some(folder)
    }

    /// Checks that the file can be written.
    pub(crate) fn check_writable(&self) -> io::Result<()> {
        let (draft, _) = self.create_draft()?;
        fs::remove_file(&draft)?;
        // A file that is mounted alone can have no link in its own folder, and must be written in place.
        match fs::hard_link(&self.path, &draft) {
            Ok(()) => fs::remove_file(draft),
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => open_private(&self.path).map(drop),
            Err(_) => Ok(()),
        }
    }

    /// Writes a draft that only the user can read, and moves it to its place.
    pub(crate) fn replace(&self, content: &[u8]) -> io::Result<()> {
        let (draft, mut file) = self.create_draft()?;
        let written = file.write_all(content).and_then(|()| file.sync_all());
        let moved = written.and_then(|()| fs::rename(&draft, &self.path));
        if moved.is_err() {
            let _ = fs::remove_file(&draft);
        }
        self.write_in_place_if_busy(moved, content)
    }

    /// Writes the file in place if it is mounted alone, as in a container: such a file cannot be replaced.
    fn write_in_place_if_busy(&self, moved: io::Result<()>, content: &[u8]) -> io::Result<()> {
        match moved {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                let mut file = open_private(&self.path)?;
                // The old content is cut off last, so that a full disk leaves no empty file.
                file.write_all(content)?;
                file.set_len(content.len() as u64)?;
                file.sync_all()
            }
            moved => moved,
        }
    }

    fn create_draft(&self) -> io::Result<(PathBuf, fs::File)> {
        let draft = self.folder.join(format!(".kubectl-replicas.{}-{:08x}", std::process::id(), fastrand::u32(..)));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&draft)?;
        Ok((draft, file))
    }
}

/// Opens an existing file for writing, and takes it from other users before a secret is in it.
fn open_private(path: &Path) -> io::Result<fs::File> {
    let file = OpenOptions::new().write(true).open(path)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(file)
}

fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("private-file-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn only_a_regular_file_is_replaced() {
        let folder = Folder::new("regular");
        let [file, absent, below] = ["file", "absent", "made/file"].map(|name| folder.0.join(name));
        fs::write(&file, "old").unwrap();
        let mut rows = vec![
            ("a file", file.clone(), true),
            ("no file", absent, true),
            ("no folder", below, true),
            ("a folder", folder.0.clone(), false),
        ];
        #[cfg(unix)]
        for (name, target, expected) in [
            ("a link to a file", file.as_path(), true),
            ("a link to a device", Path::new("/dev/null"), false),
            ("a link to nothing", Path::new("/nowhere"), true),
        ] {
            let link = folder.0.join(name);
            std::os::unix::fs::symlink(target, &link).unwrap();
            rows.push((name, link, expected));
        }
        #[cfg(unix)]
        rows.push(("a device", PathBuf::from("/dev/null"), false));
        for (name, path, expected) in rows {
            assert_eq!(Place::prepare(&path).is_ok(), expected, "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_busy_file_is_written_in_place_and_taken_from_other_users() {
        use std::os::unix::fs::PermissionsExt;

        let folder = Folder::new("busy");
        let path = folder.0.join("file");
        let place = Place::prepare(&path).unwrap();
        let denied = io::ErrorKind::PermissionDenied;
        for (name, moved, content, mode, expected) in [
            ("moved", Ok(()), "the old content", 0o644, None),
            ("busy", Err(io::ErrorKind::ResourceBusy), "new", 0o600, None),
            ("denied", Err(denied), "the old content", 0o644, Some(denied)),
        ] {
            fs::write(&path, "the old content").unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
            let written = place.write_in_place_if_busy(moved.map_err(io::Error::from), b"new");
            assert_eq!(written.err().map(|error| error.kind()), expected, "{name}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content, "{name}");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{name}");
        }
    }
}
