//! The file that a kubeconfig is in: changed by one at a time, whole or not at all.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::Kubeconfig;
use crate::task::{Error, ErrorExt, Result};

/// How long the lock is tried for: five seconds.
const LOCK_TRIES: u32 = 100;
const LOCK_EVERY: Duration = Duration::from_millis(50);
/// Far longer than anybody needs it.
const LOCK_LASTS: Duration = Duration::from_mins(1);

/// The lock that kubectl takes while it changes a kubeconfig, and whoever else goes by its rules: a file beside it,
/// which is there as long as the lock is held.
struct Lock(PathBuf);

impl Lock {
    fn take(path: &Path) -> Result<Self> {
        let lock = PathBuf::from(format!("{}.lock", path.display()));
        for _ in 0..LOCK_TRIES {
            match File::create_new(&lock) {
                Ok(_) => return Ok(Self(lock)),
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(error).doing(format!("lock `{}`", path.display()));
                }
                // whoever is killed leaves it behind
                Err(_) if is_stale(&lock) => drop(fs::remove_file(&lock)),
                Err(_) => thread::sleep(LOCK_EVERY),
            }
        }
        Err(Error::permanent(format!("`{}` is there: somebody else changes the kubeconfig", lock.display()))
            .with_hint("wait until that has ended, then run the same command again"))
    }
}

fn is_stale(lock: &Path) -> bool {
    let age =
        fs::metadata(lock).and_then(|found| found.modified()).map(|made| made.elapsed().unwrap_or_default());
    age.is_ok_and(|age| age > LOCK_LASTS)
}

impl Drop for Lock {
    fn drop(&mut self) {
        // nobody else removes it while it is ours
        drop(fs::remove_file(&self.0));
    }
}

/// Changes a kubeconfig file, alone: regions do so at the same time, and kubectl may. Nothing is written if nothing
/// changed. Of a link, the file that it leads to is changed.
pub fn change<T>(path: &Path, edit: impl FnOnce(&mut Kubeconfig) -> Result<T>) -> Result<T> {
    let folder = folder_of(path);
    let doing = || format!("write the kubeconfig `{}`", path.display());
    fs::create_dir_all(folder).doing(doing())?;
    let linked = fs::canonicalize(path);
    let path = linked.as_deref().unwrap_or(path);
    let _lock = Lock::take(path)?;
    let before = Kubeconfig::load(path)?;
    let mut after = before.clone();
    let told = edit(&mut after)?;
    if after.names().is_empty() {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).doing(doing()),
            _ => {}
        }
    } else if after != before {
        write_private(path, &after.render()).doing(doing())?;
    }
    Ok(told)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file that only its owner may read, whole or not at all.
pub fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = folder_of(path);
    // a temporary file is made with mode 0600
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
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
    fn changing_a_file_leaves_nothing_that_kubectl_would_take_for_its_lock_and_follows_links() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("mine"), dir.path().join("config"));
        fs::write(&file, USERS_OWN).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        // one that a killed process has left
        let lock = File::create(dir.path().join("mine.lock")).unwrap();
        lock.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        change(&link, |config| config.merge(&with(&["spain"]).render())).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(Kubeconfig::load(&file).unwrap().names(), ["home", "spain"]);
        let mut left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|found| found.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["config", "mine"]);
    }

    #[test]
    fn the_file_is_its_owners_only_and_goes_with_its_last_context() {
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
