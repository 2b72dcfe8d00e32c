//! Secrets as Kubernetes mounts them: a folder with one file per key.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

/// A folder of secret files.
#[derive(Debug, Clone)]
pub struct SecretFolder(PathBuf);

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("failed to read secret file `{}`: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("secret file `{}` is empty", path.display())]
    Empty { path: PathBuf },
}

/// Identifies the content of a file by its metadata: a replaced file has a different version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Version {
    /// `None` for a missing file. Follows symbolic links, because a volume of Kubernetes is updated by swapping one.
    pub fn of(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
        })
    }
}

impl SecretFolder {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The secret `name`, without a trailing newline that an editor may have added.
    pub fn read(&self, name: &str) -> Result<SecretString, SecretError> {
        let path = self.0.join(name);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => SecretString::from(text),
            Err(cause) => return Err(SecretError::Unreadable { path, cause }),
        };
        let value = secrecy::ExposeSecret::expose_secret(&text).trim_end_matches(['\r', '\n']);
        if value.is_empty() {
            return Err(SecretError::Empty { path });
        }
        Ok(SecretString::from(value))
    }

    /// The secret `name`, or `None` if its file is missing or empty.
    pub fn read_optional(&self, name: &str) -> Result<Option<SecretString>, SecretError> {
        match self.read(name) {
            Ok(secret) => Ok(Some(secret)),
            Err(SecretError::Empty { .. }) => Ok(None),
            Err(SecretError::Unreadable { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The files' versions; `None` for a missing file.
    pub fn versions(&self, names: &[&str]) -> Vec<Option<Version>> {
        names.iter().map(|name| Version::of(&self.0.join(name))).collect()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_trailing_newline_is_not_part_of_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("KEY"), "value \n").unwrap();
        assert_eq!(SecretFolder::new(folder.path()).read("KEY").unwrap().expose_secret(), "value ");
    }

    #[test]
    fn the_error_names_a_missing_or_empty_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("EMPTY"), "\n").unwrap();
        let secrets = SecretFolder::new(folder.path());
        assert!(secrets.read("KEY").unwrap_err().to_string().contains("/KEY`: No such file"));
        assert!(secrets.read("EMPTY").unwrap_err().to_string().ends_with("/EMPTY` is empty"));
        assert!(secrets.read_optional("KEY").unwrap().is_none());
    }

    #[test]
    fn a_replaced_file_has_a_different_version() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = SecretFolder::new(folder.path());
        assert_eq!(secrets.versions(&["KEY"]), [None]);
        std::fs::write(folder.path().join("KEY"), "one").unwrap();
        let before = secrets.versions(&["KEY"]);
        std::fs::write(folder.path().join("next"), "two").unwrap();
        std::fs::rename(folder.path().join("next"), folder.path().join("KEY")).unwrap();
        assert_ne!(secrets.versions(&["KEY"]), before);
    }
}
