//! One run at a time on this machine, for one configuration.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use crate::task::RunId;

/// Held until dropped; the kernel releases it if the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another run is under way here: {owner}")]
    Held { owner: String },
    #[error("failed to lock `{0}`")]
    Io(PathBuf, #[source] io::Error),
}

impl Lock {
    /// Takes the lock, or tells who holds it.
    ///
    /// # Errors
    /// When another process holds it, or the file cannot be written.
    pub fn take(folder: &Path, run: &RunId) -> Result<Self, LockError> {
        let path = folder.join("lock");
        let failed = |error| LockError::Io(path.clone(), error);
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                file.read_to_string(&mut owner).map_err(failed)?;
                return Err(LockError::Held { owner: owner.trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "run {run}, process {}, since {}", std::process::id(), jiff::Timestamp::now())
            .map_err(failed)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_told_who_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path(), &RunId::named("first")).unwrap();
        let told = Lock::take(folder.path(), &RunId::named("second")).unwrap_err().to_string();
        assert!(told.contains("run first"), "{told}");
        drop(first);
        Lock::take(folder.path(), &RunId::named("third")).unwrap();
    }
}
