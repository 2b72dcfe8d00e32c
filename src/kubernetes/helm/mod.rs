//! Helm's releases: read from where Helm keeps them, changed by Helm itself.

mod install;
mod repair;
mod run;
mod stored;
mod values;
mod wanted;

pub use install::install;
pub use run::{Place, uninstall};
pub use stored::{Stored, latest};
pub use values::merge;
pub use wanted::Wanted;

use kube::Client;

use super::ready::{self, Missing};
use crate::task::Result;

/// How a release is, compared with what is wanted.
#[derive(Debug)]
pub struct Compared {
    pub stored: Option<Stored>,
    /// What `helm upgrade` would change, a line each.
    pub changes: Vec<String>,
    /// What is there and not ready.
    pub missing: Vec<Missing>,
}

impl Compared {
    pub fn is_clean(&self) -> bool {
        self.stored.is_some() && self.changes.is_empty() && self.missing.is_empty()
    }

    /// All that is not as wanted, a line each.
    pub fn lines(&self) -> Vec<String> {
        self.changes.iter().cloned().chain(self.missing.iter().map(|missing| missing.what.clone())).collect()
    }
}

/// Looks at a release, without a child process.
pub async fn compare(client: &Client, wanted: &Wanted) -> Result<Compared> {
    let Some(stored) = latest(client, &wanted.namespace, &wanted.release).await? else {
        let line = format!("install {} {}", wanted.chart_name(), wanted.version);
        return Ok(Compared { stored: None, changes: vec![line], missing: Vec::new() });
    };
    let changes = stored.changes(wanted);
    let missing = ready::missing(client, &stored.manifest, &wanted.namespace).await?;
    Ok(Compared { stored: Some(stored), changes, missing })
}
