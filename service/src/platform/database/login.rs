//! The credentials in use. Those from files are read again when they change or are rejected.

use std::sync::{Mutex, PoisonError};

use super::endpoint::Credentials;
use super::{PASSWORD, USERNAME};
use crate::platform::secret::{SecretError, SecretFolder};

pub struct Login {
    folder: Option<SecretFolder>,
    /// `None` if the login is part of a URL.
    current: Mutex<Option<Credentials>>,
}

impl Login {
    /// The login of a URL, which cannot change.
    pub fn of_url() -> Self {
        Self { folder: None, current: Mutex::new(None) }
    }

    pub fn of_files(folder: SecretFolder, credentials: Credentials) -> Self {
        Self { folder: Some(folder), current: Mutex::new(Some(credentials)) }
    }

    /// The folder to watch for changed credentials; `None` if they cannot change.
    pub fn folder(&self) -> Option<&SecretFolder> {
        self.folder.as_ref()
    }

    pub fn current(&self) -> Option<Credentials> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again; returns whether they had changed.
    pub fn reload(&self) -> Result<bool, SecretError> {
        let Some(folder) = &self.folder else { return Ok(false) };
        let read = Some(Credentials::read(folder, USERNAME, PASSWORD)?);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == read {
            return Ok(false);
        }
        *current = read;
        tracing::info!("database credentials reloaded");
        Ok(true)
    }

    /// Reads the files again after `rejected` was rejected; returns whether there are other credentials now. Another
    /// task may have read them in the meantime.
    pub fn renew(&self, rejected: Option<&Credentials>) -> bool {
        if let Err(error) = self.reload() {
            tracing::error!("{error}; keeping the current credentials");
        }
        self.current().as_ref() != rejected
    }
}
