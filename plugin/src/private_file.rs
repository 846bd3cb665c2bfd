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
    /// Creates the file's folder. Follows a link, so that the link itself stays.
    pub(crate) fn prepare(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
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
        fs::remove_file(draft)
    }

    /// Writes a draft that only the user can read, and moves it to its place.
    pub(crate) fn replace(&self, content: &[u8]) -> io::Result<()> {
        let (draft, mut file) = self.create_draft()?;
        let written = file.write_all(content).and_then(|()| file.sync_all());
        let moved = written.and_then(|()| fs::rename(&draft, &self.path));
        if moved.is_err() {
            let _ = fs::remove_file(&draft);
        }
        moved
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

fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
