//! The file of the operation log. Runs of the plugin that write at the same time wait for each other.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{error::Error, location, operation::Operation};
use crate::private_file::Place;

/// The most operations that are kept.
const MAX_OPERATIONS: usize = 100;

/// The most bytes of the file: an operation on 10,000 targets takes up to 5 MB with usual reasons. The oldest operations
/// make room.
const MAX_BYTES: usize = 16 << 20;

/// The version of the file's form. A newer one may mean something else.
const VERSION: u32 = 1;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    operations: Vec<Operation>,
}

/// Reads the user's operations, the oldest first.
pub(crate) fn load_own() -> Result<Vec<Operation>, Error> {
    load(&location::path().ok_or(Error::NoPath)?)
}

/// Reads the operations, the oldest first. A file that does not exist has none, and neither has an empty one, as
/// mktemp makes it.
fn load(path: &Path) -> Result<Vec<Operation>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file.and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)).map_err(failed)?,
    };
    parse(path, &bytes)
}

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Operation>, Error> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let broken = |source| Error::Parse { path: path.to_owned(), source };
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    if bytes.len() > MAX_BYTES {
        return Err(Error::TooLarge { path: path.to_owned(), most: MAX_BYTES });
    }
    let Version { version } = serde_json::from_slice(bytes).map_err(broken)?;
    if version > VERSION {
        return Err(Error::TooNew { path: path.to_owned() });
    }
    let Content { operations, .. } = serde_json::from_slice(bytes).map_err(broken)?;
    Ok(operations)
}

/// Adds an operation, and gives it its number.
pub(crate) fn append(path: &Path, mut operation: Operation) -> Result<(), Error> {
    change(path, |operations| {
        operation.number = operations.last().map_or(1, |last| last.number.saturating_add(1));
        operations.push(operation);
    })
}

/// Drops an operation of the user's log.
pub(crate) fn drop_own(number: u64) -> Result<(), Error> {
    drop_from(&location::path().ok_or(Error::NoPath)?, number)
}

fn drop_from(path: &Path, number: u64) -> Result<(), Error> {
    change(path, |operations| operations.retain(|operation| operation.number != number))
}

/// Changes the log. One that cannot be read stays as it is.
fn change(path: &Path, change: impl FnOnce(&mut Vec<Operation>)) -> Result<(), Error> {
    if location::is_null(path) {
        return Ok(());
    }
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let place = Place::prepare(path).map_err(failed)?;
    let _lock = place.lock();
    let mut operations = load(path)?;
    change(&mut operations);
    place.replace(&write(operations)?).map_err(failed)
}

/// Writes the newest operations, as many as fit.
fn write(operations: Vec<Operation>) -> Result<Vec<u8>, Error> {
    let (mut kept, mut size) = (Vec::new(), 0);
    for operation in operations.into_iter().rev().take(MAX_OPERATIONS) {
        // The rest of the document is shorter than this.
        size += serde_json::to_vec(&operation).map_err(Error::Format)?.len() + 64;
        if size > MAX_BYTES {
            if kept.is_empty() {
                return Err(Error::TooManyTargets { targets: operation.targets.len() });
            }
            break;
        }
        kept.push(operation);
    }
    kept.reverse();
    serde_json::to_vec(&Content { version: VERSION, operations: kept }).map_err(Error::Format)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;
    use crate::operations::{Cluster, State, TargetChange};

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("operations-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }

        fn log(&self) -> PathBuf {
            self.0.join("kubectl-replicas").join("operations.json")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    pub(in crate::operations) fn operation(command: &str, targets: usize) -> Operation {
        let target = |index| TargetChange {
            namespace: "shop".to_owned(),
            group: "apps".to_owned(),
            kind: "Deployment".to_owned(),
            name: format!("web-{index}"),
            before: State::Unmanaged(vec![3]),
            after: State::Unknown,
            is_tried: false,
        };
        Operation {
            number: 0,
            at: "2026-11-23T18:00:00Z".parse().unwrap(),
            command: command.to_owned(),
            context: String::new(),
            cluster: Cluster::default(),
            user: String::new(),
            undoes: None,
            targets: (0..targets).map(target).collect(),
        }
    }

    #[test]
    fn the_last_operations_are_kept_with_rising_numbers_in_a_private_file() {
        let folder = Folder::new("kept");
        assert_eq!(load(&folder.log()).unwrap(), []);
        for index in 0..=MAX_OPERATIONS {
            append(&folder.log(), operation(&format!("set web {index}"), 1)).unwrap();
        }
        let read = load(&folder.log()).unwrap();
        assert_eq!((read.len(), read[0].number, read[0].command.as_str()), (MAX_OPERATIONS, 2, "set web 1"));
        assert_eq!(read.last().map(|last| last.number), Some(101));
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(folder.log()).unwrap().permissions()) & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(folder.log().parent().unwrap()).unwrap().count(), 1, "no draft stays");
    }

    #[test]
    fn an_operation_is_dropped_by_its_number() {
        let folder = Folder::new("dropped");
        for index in 1..=3 {
            append(&folder.log(), operation(&format!("set web {index}"), 1)).unwrap();
        }
        for (name, number, left) in [("in the middle", 2, vec![1, 3]), ("the last", 3, vec![1]), ("none", 9, vec![1])] {
            drop_from(&folder.log(), number).unwrap();
            let numbers: Vec<_> = load(&folder.log()).unwrap().iter().map(|operation| operation.number).collect();
            assert_eq!(numbers, left, "{name}");
        }
    }

    #[test]
    fn a_log_that_cannot_be_read_is_not_overwritten() {
        let folder = Folder::new("broken");
        fs::create_dir_all(folder.log().parent().unwrap()).unwrap();
        for (name, text, error) in [
            ("broken", "{\"version\": 1, \"operations\"", "is broken"),
            ("a line break", "\n", "is broken"),
            ("another form", "{\"version\": 1, \"operations\": [], \"more\": 1}", "is broken"),
            ("newer", "{\"version\": 2, \"undo\": {}}", "is of a newer version"),
        ] {
            fs::write(folder.log(), text).unwrap();
            let refused = append(&folder.log(), operation("set web 3", 1)).unwrap_err();
            assert!(refused.to_string().contains(error) && refused.hint().is_some(), "{name}: {refused}");
            assert_eq!(fs::read_to_string(folder.log()).unwrap(), text, "{name}");
        }
        fs::write(folder.log(), vec![b' '; MAX_BYTES + 1]).unwrap();
        assert!(matches!(append(&folder.log(), operation("x", 1)), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn an_empty_file_is_an_empty_log() {
        let folder = Folder::new("empty");
        fs::create_dir_all(folder.log().parent().unwrap()).unwrap();
        fs::write(folder.log(), "").unwrap();
        assert_eq!(load(&folder.log()).unwrap(), []);
        append(&folder.log(), operation("set web 3", 1)).unwrap();
        assert_eq!(load(&folder.log()).unwrap()[0].number, 1);
    }

    #[cfg(unix)]
    #[test]
    fn the_null_device_keeps_no_log_and_other_devices_are_refused() {
        for (path, expected) in
            [("/dev/null", None), ("/dev/zero", Some("failed to write the operation log /dev/zero"))]
        {
            let refused = append(Path::new(path), operation("set web 3", 1)).err();
            assert_eq!(refused.as_ref().map(ToString::to_string).as_deref(), expected);
            assert!(refused.is_none_or(|refused| refused.hint().is_some()), "{path}");
        }
        assert_eq!(load(Path::new("/dev/null")).unwrap(), []);
    }

    #[test]
    fn the_oldest_operations_make_room() {
        let large = || operation("set", 30_000);
        let kept = write(vec![large(), large(), large(), large(), large(), operation("last", 1)]).unwrap();
        assert!(kept.len() <= MAX_BYTES, "{}", kept.len());
        let kept = parse(Path::new("x"), &kept).unwrap();
        assert!(kept.len() > 1 && kept.len() < 6 && kept.last().unwrap().command == "last", "{}", kept.len());
        assert!(matches!(write(vec![operation("set", 200_000)]), Err(Error::TooManyTargets { targets: 200_000 })));
    }

    #[test]
    fn runs_that_write_at_once_lose_nothing() {
        let folder = Folder::new("at-once");
        let log = folder.log();
        std::thread::scope(|scope| {
            for index in 0..8 {
                let log = &log;
                scope.spawn(move || append(log, operation(&format!("set {index}"), 1)).unwrap());
            }
        });
        let numbers: Vec<_> = load(&log).unwrap().iter().map(|operation| operation.number).collect();
        assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
    }
}
