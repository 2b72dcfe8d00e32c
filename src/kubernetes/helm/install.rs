//! From what is there to what is wanted.

use std::time::Duration;

use kube::Client;

use super::{
    super::{
        explain,
        ready::{self, Missing},
    },
    Compared, compare,
    repair::repair,
    run::{Place, upgrade},
    stored::Stored,
    wanted::Wanted,
};
use crate::{
    fact,
    task::{Class, Error, Poll, Result, Task},
};

/// From the release until all of it does its work.
const READY: Duration = Duration::from_mins(5);
const LOOK: Duration = Duration::from_secs(2);

/// Makes a release as wanted and waits until all of it is ready. `compared` is what a look found.
///
/// Helm does not wait itself: it could only say that its time is over, and a release is left pending for
/// as long as it waits.
pub async fn install(
    task: &Task,
    place: Place<'_>,
    client: &Client,
    access: &fact::Access,
    wanted: &Wanted,
    compared: &Compared,
) -> Result<()> {
    if compared.stored.as_ref().is_some_and(Stored::is_pending) {
        repair(task, place, client, access, wanted).await?;
    }
    if !compared.changes.is_empty() {
        upgrade(task, place, access, wanted).await?;
    }
    wait(task, client, wanted).await
}

async fn wait(task: &Task, client: &Client, wanted: &Wanted) -> Result<()> {
    let what = format!("release `{}`", wanted.release);
    let last: std::sync::Mutex<Vec<Missing>> = std::sync::Mutex::default();
    let look = || async {
        let compared = compare(client, wanted).await?;
        let told = compared.lines().join(", ");
        let ready = compared.is_clean();
        *last.lock().expect("nobody panics with it") = compared.missing;
        Ok(if ready { Poll::Ready(()) } else { Poll::Pending(told) })
    };
    let Err(error) = task.wait(&what, LOOK, READY, look).await else { return Ok(()) };
    let missing = last.into_inner().expect("nobody panics with it");
    Err(explained(client, error, &missing).await)
}

/// The error, with the troubles of the pods that keep something from being ready.
async fn explained(client: &Client, error: Error, missing: &[Missing]) -> Error {
    if error.class == Class::Cancelled || missing.is_empty() {
        return error;
    }
    let mut lines = vec![ready::summary(missing)];
    for (namespace, selector) in missing.iter().filter_map(|missing| missing.pods.as_ref()) {
        lines.extend(explain::pods(client, namespace, selector).await);
    }
    let context = error.to_string();
    Error { source: anyhow::anyhow!(lines.join("\n")).context(context), ..error }
}
