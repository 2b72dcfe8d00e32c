//! Helm itself, as a child.

use std::{path::Path, time::Duration};

use kube::Client;
use serde_json::Value;

use super::{
    super::{
        explain,
        kubeconfig::{self, Kubeconfig},
        ready::{self, Missing},
    },
    Compared, Stored, compare, merge, repair,
};
use crate::{
    config::Addon,
    fact,
    task::{Error, ErrorExt, Poll, Result, Task},
    tool::Command,
};

/// From the release until all of it does its work.
const READY: Duration = Duration::from_mins(5);
const LOOK: Duration = Duration::from_secs(2);
/// Of one `helm` command, hooks included.
const HELM: &str = "5m";
/// Its own deadline and what it needs to tell it.
const CHILD: Duration = Duration::from_mins(6);

/// A release as it should be.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub release: String,
    pub namespace: String,
    /// `oci://…/name`, a path, or a repository's URL and `#name`.
    pub chart: String,
    pub version: String,
    pub values: Value,
}

impl Wanted {
    /// A chart of the configuration, with values that only facts can tell on top of those in its file.
    pub fn new(release: &str, addon: &Addon, facts: Value) -> Result<Self> {
        let base = match &addon.values {
            None => Value::Object(serde_json::Map::new()),
            Some(path) => {
                let doing = || format!("read the values `{}`", path.display());
                let text = std::fs::read_to_string(path).doing(doing())?;
                serde_norway::from_str(&text).doing(doing())?
            }
        };
        Ok(Self {
            release: release.to_owned(),
            namespace: addon.namespace.clone(),
            chart: addon.chart.clone(),
            version: addon.version.clone(),
            values: merge(base, facts),
        })
    }

    /// The chart's name in its repository or registry.
    pub fn chart_name(&self) -> &str {
        self.chart.rsplit(['/', '#']).next().unwrap_or(&self.chart)
    }

    /// The chart as Helm's arguments name it.
    fn chart_args(&self) -> Vec<&str> {
        match self.chart.split_once('#') {
            Some((repository, name)) => vec![name, "--repo", repository],
            None => vec![&self.chart],
        }
    }
}

/// The helm to run, and where.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub program: &'a Path,
    /// The folder for files that go again.
    pub state: &'a Path,
    /// The folder that charts' paths start from.
    pub root: &'a Path,
}

/// Helm with a kubeconfig of its own, which goes when this is dropped.
///
/// Helm gets its tokens from `paydeploy token`, not from a file. The region's context in `.paydeploy/` is
/// not used, because another machine may have set up the cluster.
pub(super) struct Helm {
    files: tempfile::TempDir,
    command: Command,
}

impl Helm {
    pub fn new(place: Place, access: &fact::Access, namespace: &str, verb: &[&str]) -> Result<Self> {
        let Place { program, state, root } = place;
        std::fs::create_dir_all(state).doing(format!("make the folder `{}`", state.display()))?;
        let files = tempfile::Builder::new().prefix("helm-").tempdir_in(state)?;
        let mut kubeconfig = Kubeconfig::default();
        let name = &access.cluster.cluster_name;
        kubeconfig.set(name, access, namespace, &kubeconfig::program()?);
        let path = files.path().join("kubeconfig");
        kubeconfig::write_private(&path, &kubeconfig.render())?;
        let command = Command::new(program)
            .args(verb)
            .args(["--namespace", namespace, "--timeout", HELM, "--kube-context", name])
            .arg("--kubeconfig")
            .arg(&path)
            .pass_env("HELM_CACHE_HOME")
            .pass_env("HELM_CONFIG_HOME")
            .pass_env("HELM_DATA_HOME")
            .pass_env("HELM_REGISTRY_CONFIG")
            .dir(root)
            .deadline(CHILD);
        Ok(Self { files, command })
    }

    fn values(self, values: &Value) -> Result<Self> {
        let path = self.files.path().join("values.json");
        kubeconfig::write_private(&path, &values.to_string())?;
        let command = self.command.clone().arg("--values").arg(&path);
        Ok(Self { command, ..self })
    }

    fn args<'a>(self, args: impl IntoIterator<Item = &'a str>) -> Self {
        Self { command: self.command.clone().args(args), ..self }
    }

    pub async fn run(&self, task: &Task) -> Result<()> {
        self.command.run(task).await
    }
}

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
        task.progress(format!("helm upgrade --install {} {}", wanted.release, wanted.version));
        Helm::new(place, access, &wanted.namespace, &["upgrade", "--install", &wanted.release])?
            .args(wanted.chart_args())
            .args(["--version", &wanted.version, "--create-namespace", "--reset-values"])
            .values(&wanted.values)?
            .run(task)
            .await
            .doing(format!("install release `{}`", wanted.release))?;
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
    if error.class == crate::task::Class::Cancelled || missing.is_empty() {
        return error;
    }
    let mut lines = vec![ready::summary(missing)];
    for (namespace, selector) in missing.iter().filter_map(|missing| missing.pods.as_ref()) {
        lines.extend(explain::pods(client, namespace, selector).await);
    }
    let context = error.to_string();
    Error { source: anyhow::anyhow!(lines.join("\n")).context(context), ..error }
}

/// Removes a release and what it made; waits until that is gone.
pub async fn uninstall(
    task: &Task,
    place: Place<'_>,
    access: &fact::Access,
    namespace: &str,
    release: &str,
) -> Result<()> {
    task.progress(format!("helm uninstall {release}"));
    Helm::new(place, access, namespace, &["uninstall", release, "--wait"])?
        .run(task)
        .await
        .doing(format!("uninstall release `{release}`"))
}

/// Puts a release back to an earlier revision.
pub(super) async fn rollback(
    task: &Task,
    place: Place<'_>,
    access: &fact::Access,
    wanted: &Wanted,
    revision: u32,
) -> Result<()> {
    let revision = revision.to_string();
    Helm::new(place, access, &wanted.namespace, &["rollback", &wanted.release, &revision])?
        .run(task)
        .await
        .doing(format!("put release `{}` back to revision {revision}", wanted.release))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(chart: &str) -> Wanted {
        Wanted {
            release: "x".to_owned(),
            namespace: "x".to_owned(),
            chart: chart.to_owned(),
            version: "1".to_owned(),
            values: Value::Null,
        }
    }

    #[test]
    fn a_chart_is_in_a_registry_a_repository_or_a_folder() {
        for (given, args, name) in [
            ("oci://host/charts/argo-cd", vec!["oci://host/charts/argo-cd"], "argo-cd"),
            ("charts/mine", vec!["charts/mine"], "mine"),
            ("https://host/charts#argo-cd", vec!["argo-cd", "--repo", "https://host/charts"], "argo-cd"),
        ] {
            assert_eq!(chart(given).chart_args(), args);
            assert_eq!(chart(given).chart_name(), name);
        }
    }
}
