//! Installs or upgrades a release and waits until it is ready.

use std::time::Duration;

use kube::Client;

use super::{
    super::{
        explain,
        ready::{self, NotReady},
    },
    Compared, compare,
    repair::repair,
    run::{Runner, upgrade},
    stored::Stored,
    wanted::Wanted,
};
use crate::{
    fact,
    task::{Class, Error, Poll, Result, Task},
};

/// From Helm's end until all objects are ready: images are pulled, and a node may have to be added.
const DEADLINE: Duration = Duration::from_mins(5);
/// Between two checks, each of which reads every object of the release.
const POLL: Duration = Duration::from_secs(2);

/// Brings a release to its configured state and waits until all of it is ready. `compared` is the result of
/// the last check.
///
/// Helm itself does not wait: it would only report a timeout without the cause, and a release stays pending
/// while Helm waits, so that an interruption would need a repair.
pub async fn install(
    task: &Task,
    runner: Runner<'_>,
    client: &Client,
    access: &fact::Access,
    wanted: &Wanted,
    compared: &Compared,
) -> Result<()> {
    if compared.stored.as_ref().is_some_and(Stored::is_pending) {
        repair(task, runner, client, access, wanted).await?;
    }
    if !compared.changes.is_empty() {
        upgrade(task, runner, access, wanted).await?;
    }
    wait(task, client, wanted).await
}

async fn wait(task: &Task, client: &Client, wanted: &Wanted) -> Result<()> {
    let what = format!("release `{}`", wanted.release);
    let last: std::sync::Mutex<Vec<NotReady>> = std::sync::Mutex::default();
    let check = || async {
        let compared = compare(client, wanted).await?;
        let lines = compared.lines().join(", ");
        let ready = compared.is_clean();
        *last.lock().expect("the lock is never held across a panic") = compared.unready;
        Ok(if ready { Poll::Ready(()) } else { Poll::Pending(lines) })
    };
    let Err(error) = task.wait(&what, POLL, DEADLINE, check).await else { return Ok(()) };
    let unready = last.into_inner().expect("the lock is never held across a panic");
    Err(explained(client, error, &unready).await)
}

/// The error, with the state of the pods that are not ready.
async fn explained(client: &Client, error: Error, unready: &[NotReady]) -> Error {
    if error.class == Class::Cancelled || unready.is_empty() {
        return error;
    }
    let mut lines = vec![ready::summary(unready)];
    for (namespace, selector) in unready.iter().filter_map(|one| one.pods.as_ref()) {
        lines.extend(explain::pods(client, namespace, selector).await);
    }
    let context = error.to_string();
    Error { source: anyhow::anyhow!(lines.join("\n")).context(context), ..error }
}
