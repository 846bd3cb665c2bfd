//! Publishes a volume's files as the real kubelet does.
//!
//! The volume contains links `name -> ..data/name`, and `..data` is a link to the folder of one generation. A change of
//! that link changes all files at once. Programs that reload their certificates must handle this.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path};

use anyhow::{Context, Result, bail};

/// The files of a volume, by their paths in it.
pub(super) type Files = BTreeMap<String, File>;

/// One file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) data: Vec<u8>,
    pub(super) mode: u32,
}

const DATA: &str = "..data";

/// Makes `folder` contain exactly `files`. It changes nothing if the folder contains them already.
pub(super) fn publish(folder: &Path, files: &Files) -> Result<()> {
    fs::create_dir_all(folder)?;
    let current = fs::read_link(folder.join(DATA)).ok();
    if let Some(current) = &current
        && contains(&folder.join(current), files)
    {
        return Ok(());
    }
    let generation = current.as_deref().and_then(Path::to_str).and_then(|name| name.strip_prefix("..generation-"));
    let number: u64 = generation.and_then(|number| number.parse().ok()).unwrap_or(0);
    let next = format!("..generation-{}", number + 1);
    write(&folder.join(&next), files)?;
    replace_link(&folder.join(DATA), Path::new(&next))?;
    for name in top_names(files) {
        replace_link(&folder.join(name), &Path::new(DATA).join(name))?;
    }
    sweep(folder, files, &next)
}

fn contains(generation: &Path, files: &Files) -> bool {
    count(generation) == files.len()
        && files.iter().all(|(path, file)| fs::read(generation.join(path)).is_ok_and(|data| data == file.data))
}

fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
}

fn write(generation: &Path, files: &Files) -> Result<()> {
    fs::create_dir_all(generation)?;
    for (path, file) in files {
        if !Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
            bail!("the file {path} would be outside of its volume");
        }
        let target = generation.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&target, &file.data).with_context(|| format!("failed to write {}", target.display()))?;
        fs::set_permissions(&target, Permissions::from_mode(file.mode))?;
    }
    Ok(())
}

/// Replaces a link atomically.
fn replace_link(link: &Path, target: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|current| current == target) {
        return Ok(());
    }
    let fresh = link.with_file_name("..fresh");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => symlink(target, &fresh)?,
    }
    fs::rename(&fresh, link).with_context(|| format!("failed to replace {}", link.display()))
}

/// Removes links to files that are gone, and the generations before `current`.
fn sweep(folder: &Path, files: &Files, current: &str) -> Result<()> {
    let names: Vec<&str> = top_names(files).collect();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("..generation-") && name != current {
            fs::remove_dir_all(entry.path())?;
        } else if !name.starts_with("..") && !names.contains(&name.as_ref()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn top_names(files: &Files) -> impl Iterator<Item = &str> {
    files.keys().filter_map(|path| path.split('/').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(entries: &[(&str, &str)]) -> Files {
        let file = |data: &str| File { data: data.into(), mode: 0o600 };
        entries.iter().map(|(path, data)| ((*path).to_owned(), file(data))).collect()
    }

    fn folder(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("cluster-files-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_change_swaps_one_link_and_removes_missing_files() -> Result<()> {
        let folder = folder("swap");
        publish(&folder, &files(&[("tls.crt", "one"), ("deep/tls.key", "key")]))?;
        assert_eq!(fs::read_to_string(folder.join("tls.crt"))?, "one");
        assert_eq!(fs::read_to_string(folder.join("deep/tls.key"))?, "key");
        let link = fs::read_link(folder.join("tls.crt"))?;

        publish(&folder, &files(&[("tls.crt", "two")]))?;
        assert_eq!(fs::read_to_string(folder.join("tls.crt"))?, "two");
        assert_eq!(fs::read_link(folder.join("tls.crt"))?, link);
        assert!(!folder.join("deep").exists());
        fs::remove_dir_all(folder)?;
        Ok(())
    }

    #[test]
    fn an_unchanged_volume_keeps_its_generation() -> Result<()> {
        let folder = folder("same");
        publish(&folder, &files(&[("a", "1")]))?;
        let generation = fs::read_link(folder.join(DATA))?;
        publish(&folder, &files(&[("a", "1")]))?;
        assert_eq!(fs::read_link(folder.join(DATA))?, generation);
        fs::remove_dir_all(folder)?;
        Ok(())
    }
}
