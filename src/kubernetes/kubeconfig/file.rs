//! Changes a kubeconfig file: one process at a time, and atomically.
//!
//! 1. Take kubectl's lock, `FILE.lock`.
//! 2. Read, edit and compare; write only what changed.
//! 3. Write a temporary file beside it and rename it, so that a reader sees the old or the new content.
//! 4. Release the lock, also after an error.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::Kubeconfig;
use crate::task::{Error, ErrorExt, Result};

/// How often the lock is attempted before giving up: for 5 seconds in total. Changes take milliseconds, also
/// when all regions change the file together.
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_INTERVAL: Duration = Duration::from_millis(50);
/// A lock of this age was left by a killed process: no change takes that long.
const STALE_AFTER: Duration = Duration::from_mins(1);

/// The lock that kubectl and other client-go programs take while they change a kubeconfig: a file beside it,
/// which exists as long as the lock is held.
struct FileLock(PathBuf);

impl FileLock {
    fn take(path: &Path) -> Result<Self> {
        let lock = PathBuf::from(format!("{}.lock", path.display()));
        for _ in 0..LOCK_ATTEMPTS {
            match File::create_new(&lock) {
                Ok(_) => return Ok(Self(lock)),
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(error).doing(format!("lock `{}`", path.display()));
                }
                // Two processes may both find it stale and the second may delete the first's new lock. The
                // race is accepted: it needs a killed process, and the rename still keeps the file whole.
                Err(_) if is_stale(&lock) => drop(fs::remove_file(&lock)),
                Err(_) => thread::sleep(LOCK_INTERVAL),
            }
        }
        Err(Error::permanent(format!(
            "`{}` exists: another process is changing the kubeconfig",
            lock.display()
        ))
        .with_hint("wait until it has ended, then run the same command again"))
    }
}

fn is_stale(lock: &Path) -> bool {
    // A lock that was released meanwhile has no metadata and is not stale: the next attempt takes it.
    let age =
        fs::metadata(lock).and_then(|found| found.modified()).map(|time| time.elapsed().unwrap_or_default());
    age.is_ok_and(|age| age > STALE_AFTER)
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // The error is swallowed because a lock that cannot be deleted becomes stale.
        drop(fs::remove_file(&self.0));
    }
}

/// Changes a kubeconfig file under its lock, because other regions and kubectl may change it at the same
/// time. An unchanged file is not written, a file without contexts is deleted, and a symbolic link is
/// followed.
pub fn change<T>(path: &Path, edit: impl FnOnce(&mut Kubeconfig) -> Result<T>) -> Result<T> {
    let folder = folder_of(path);
    let doing = || format!("write the kubeconfig `{}`", path.display());
    fs::create_dir_all(folder).doing(doing())?;
    // The rename would otherwise replace the link. A file that does not exist yet has no link to follow.
    let linked = fs::canonicalize(path);
    let path = linked.as_deref().unwrap_or(path);
    let _lock = FileLock::take(path)?;
    let before = Kubeconfig::load(path)?;
    let mut after = before.clone();
    let result = edit(&mut after)?;
    if after.names().is_empty() {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).doing(doing()),
            _ => {}
        }
    } else if after != before {
        write_private(path, &after.render()).doing(doing())?;
    }
    Ok(result)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file atomically, readable by its owner only.
pub fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = folder_of(path);
    // A temporary file is created with mode 0600, and keeps it when it is renamed.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The folder is synced so that the new name survives a crash.
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::{fs, fs::File, os::unix::fs::PermissionsExt};

    use super::{
        super::tests::{USERS_OWN, with},
        Kubeconfig, change,
    };

    #[test]
    fn a_change_follows_links_takes_a_stale_lock_and_leaves_none_behind() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("mine"), dir.path().join("config"));
        fs::write(&file, USERS_OWN).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        // The lock of a killed process.
        let lock = File::create(dir.path().join("mine.lock")).unwrap();
        lock.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        change(&link, |config| config.merge(&with(&["spain"]).render())).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(Kubeconfig::load(&file).unwrap().names(), ["home", "spain"]);
        let mut files: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|found| found.unwrap().file_name()).collect();
        files.sort();
        assert_eq!(files, ["config", "mine"]);
    }

    #[test]
    fn the_file_is_readable_by_its_owner_only_and_deleted_with_its_last_context() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/kubeconfig");
        change(&path, |file| {
            *file = with(&["spain"]);
            Ok(())
        })
        .unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Kubeconfig::load(&path).unwrap(), with(&["spain"]));
        assert!(change(&path, |file| Ok(file.remove("spain"))).unwrap());
        assert!(!path.exists());
    }
}
