//! One run at a time per configuration, on one machine. Terraform's own state lock works across machines.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use crate::task::RunId;

/// Held until dropped; the kernel releases it if the process dies.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another run holds the lock: {owner}")]
    Held { owner: String },
    #[error("failed to lock `{0}`")]
    Io(PathBuf, #[source] io::Error),
}

impl RunLock {
    /// Takes the lock, or names the run that holds it.
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
        // The owner is for people only; what counts is the kernel's lock on the open file.
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
    fn the_lock_names_the_run_that_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = RunLock::take(folder.path(), &RunId::named("first")).unwrap();
        let error = RunLock::take(folder.path(), &RunId::named("second")).unwrap_err().to_string();
        assert!(error.contains("run first"), "{error}");
        drop(first);
        RunLock::take(folder.path(), &RunId::named("third")).unwrap();
    }
}
