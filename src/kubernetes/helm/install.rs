//! Installs or upgrades a release and waits until it is ready.

use std::time::Duration;

use kube::Client;

use super::{
    super::{
        explain,
        ready::{self, NotReady},
    },
    Compared, compare, crds,
    repair::wait_for_others,
    run::{Runner, upgrade},
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
    let name = (wanted.namespace.as_str(), wanted.release.as_str());
    // What a dead Helm of ours left pending has been repaired before the check, so this one is somebody else's.
    let found = match &compared.stored {
        Some(stored) if stored.is_pending() => wait_for_others(task, client, access, name).await?,
        _ => None,
    };
    if !compared.changes.is_empty() {
        let latest = found.as_ref().or(compared.stored.as_ref()).map_or(0, |stored| stored.revision);
        bring(task, runner, client, access, wanted, latest).await?;
    }
    wait(task, client, wanted).await
}

/// Installs or upgrades, without waiting for readiness. `latest` is the newest revision; 0 if there is none.
async fn bring(
    task: &Task,
    runner: Runner<'_>,
    client: &Client,
    access: &fact::Access,
    wanted: &Wanted,
    latest: u32,
) -> Result<()> {
    if latest > 0 {
        crds::upgrade(task, runner, client, wanted).await?;
    }
    upgrade(task, runner, access, wanted, latest + 1).await
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

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;
    use crate::{kubernetes::testing::Server, step::testing::program, task::testing};

    const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

    fn crd(plural: &str) -> Value {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("{plural}.example.com") },
            "spec": { "group": "example.com" },
            "status": { "conditions": [{ "type": "Established", "status": "True" }] },
        })
    }

    /// A chart with two CustomResourceDefinitions in its folder `crds`, and one among its templates.
    fn chart(folder: &std::path::Path) -> Wanted {
        for (file, text) in [
            ("Chart.yaml", "apiVersion: v2\nname: things\nversion: 1.0.0\n".to_owned()),
            ("crds/both.yaml", format!("{}\n---\n{}\n", crd("things"), crd("shared"))),
            ("templates/crd.yaml", crd("templated").to_string()),
        ] {
            let path = folder.join("things").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Wanted {
            release: "things".to_owned(),
            namespace: "things".to_owned(),
            chart: "./things".to_owned(),
            version: "1.0.0".to_owned(),
            values: json!({}),
        }
    }

    /// Brings a release to its configuration; returns the changes that the API server was asked for, and the verbs for
    /// which Helm ran. The definition `shared` belongs to another release.
    async fn brought(is_installed: bool) -> (Vec<String>, String) {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let mut shared = crd("shared");
        shared["metadata"]["annotations"] = json!({ "meta.helm.sh/release-name": "another" });
        let server = Server::with([
            ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.com", crd("things")),
            ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/shared.example.com", shared),
        ])
        .await;
        // The real Helm reads the chart; an upgrade would need a cluster.
        let helm = "echo \"$1\" >>\"$0.ran\"; [ \"$1\" = upgrade ] || exec helm \"$@\"";
        let helm = program(&dir.path().join("helm.sh"), helm);
        let (aws, wanted) = (server.aws(), chart(dir.path()));
        let runner = Runner { aws: &aws, program: &helm, state: dir.path(), root: dir.path() };
        bring(&task, runner, &server.client(), &server.access(), &wanted, u32::from(is_installed))
            .await
            .unwrap();
        let changes = server.asked().into_iter().filter(|call| !call.starts_with("GET")).collect();
        (changes, fs::read_to_string(dir.path().join("helm.sh.ran")).unwrap())
    }

    #[tokio::test]
    async fn an_upgrade_first_applies_the_definitions_that_helm_only_installs() {
        let (changes, ran) = brought(true).await;
        assert_eq!(changes, [format!("PATCH {CRDS}/things.example.com")]);
        assert_eq!(ran, "show\nupgrade\n");
    }

    #[tokio::test]
    async fn an_installation_leaves_the_definitions_to_helm() {
        let (changes, ran) = brought(false).await;
        assert_eq!((changes, ran.as_str()), (Vec::new(), "upgrade\n"));
    }
}
