//! Helm releases: read from the Secrets in which Helm stores them, changed by Helm itself.

mod crds;
mod install;
mod repair;
mod run;
mod stored;
mod values;
mod wanted;

pub use install::install;
pub use repair::repair;
pub use run::{Runner, uninstall};
pub use stored::{Stored, latest};
pub use values::merge;
pub use wanted::Wanted;

use kube::Client;

use super::ready::{self, NotReady};
use crate::task::Result;

/// A release, compared with its configuration.
#[derive(Debug)]
pub struct Compared {
    pub stored: Option<Stored>,
    /// What `helm upgrade` would change, one line per change.
    pub changes: Vec<String>,
    /// What is installed but not ready.
    pub unready: Vec<NotReady>,
}

impl Compared {
    pub fn is_clean(&self) -> bool {
        self.stored.is_some() && self.changes.is_empty() && self.unready.is_empty()
    }

    /// # Errors
    /// Of class [`Refused`](crate::task::Class::Refused) when a newer chart than the wanted one runs, which may not be able to go back.
    pub fn refuse_downgrade(&self, wanted: &Wanted, is_allowed: bool) -> Result<()> {
        match &self.stored {
            Some(stored) if !is_allowed => stored.refuse_downgrade(wanted),
            _ => Ok(()),
        }
    }

    /// Everything that differs or is not ready, one line each.
    pub fn lines(&self) -> Vec<String> {
        self.changes.iter().cloned().chain(self.unready.iter().map(|one| one.what.clone())).collect()
    }
}

/// Reads a release through the API server, without a child process.
pub async fn compare(client: &Client, wanted: &Wanted) -> Result<Compared> {
    let Some(stored) = latest(client, &wanted.namespace, &wanted.release).await? else {
        let line = format!("install {} {}", wanted.chart_name(), wanted.version);
        return Ok(Compared { stored: None, changes: vec![line], unready: Vec::new() });
    };
    let changes = stored.changes(wanted);
    let unready = ready::unready(client, &stored.manifest, &wanted.namespace).await?;
    Ok(Compared { stored: Some(stored), changes, unready })
}
